"""The worker: workflow tasks and activities of the queues it is given."""
