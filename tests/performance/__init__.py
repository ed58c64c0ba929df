"""What a step costs in counts, which no machine changes: checked against a table."""
