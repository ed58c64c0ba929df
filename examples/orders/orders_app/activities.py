"""Activities in Python: plain functions, named by `handler` in the registry.

Arguments are what the workflow passed; the result is what `funcs.call` returns there. An
exception is a failed attempt: it is tried again under the activity's retry policy.
"""

from __future__ import annotations

import asyncio
from typing import Any

RATES = {"ES": 0.21, "DE": 0.19, "FR": 0.20}


def calculate_tax(amount: float, country: str) -> float:
    """A plain function runs on a thread, so it may block: call a library, read a file."""
    if country not in RATES:
        msg = f"no tax rate for {country}"
        raise ValueError(msg)
    return round(amount * RATES[country], 2)


async def send_receipt(message: dict[str, Any]) -> dict[str, Any]:
    """A coroutine runs on the worker's event loop: await what you would await anywhere."""
    await asyncio.sleep(0)  # the place of a mail service's client
    return {"id": f"receipt-{message['order_id']}", "to": message["email"]}
