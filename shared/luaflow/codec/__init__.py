"""Payload codecs: compression and encryption of what workflows are given and give back."""
