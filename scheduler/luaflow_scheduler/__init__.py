"""The scheduler: fires what is due, recovers what was lost, relays between partitions."""
