"""Handlers that kill the process they run in."""
