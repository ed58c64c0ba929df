"""Python activities of the crash tests."""
