"""The client: start workflows, await them, talk to them, look at them."""

from __future__ import annotations

from luaflow.client.client import Client
from luaflow.client.handle import Handle
from luaflow.client.jobs import Job, JobHandle
from luaflow.client.schedules import ScheduleHandle
from luaflow.client.sync import (
    SyncClient,
    SyncHandle,
    SyncJobHandle,
    SyncScheduleHandle,
    SyncUpdate,
)
from luaflow.client.updates import Update

__all__ = [
    "Client",
    "Handle",
    "Job",
    "JobHandle",
    "ScheduleHandle",
    "SyncClient",
    "SyncHandle",
    "SyncJobHandle",
    "SyncScheduleHandle",
    "SyncUpdate",
    "Update",
]
