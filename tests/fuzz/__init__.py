"""Hostile input of every kind, and what must never come of it."""
