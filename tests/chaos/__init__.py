"""Process chaos: real processes under faults, and a checker that reads histories and two logs."""
