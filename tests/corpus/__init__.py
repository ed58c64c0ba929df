"""Stored histories of released versions, and what replays, records and guards them."""
