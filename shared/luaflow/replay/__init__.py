"""Replay: from a history to the commands of the code, and the point where the two part ways."""
