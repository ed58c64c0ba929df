"""The store: the only room that speaks Redis. State changes are scripts, one a transition."""
