"""What operators see: logs, metrics, health. Nothing here decides anything."""
