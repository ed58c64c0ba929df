"""Python activities of the chaos runs."""
