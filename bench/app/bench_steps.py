"""The steps of an order in Python, as coroutines and as plain functions (run on threads)."""

from __future__ import annotations

from typing import Any


def reserve(order: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "reservation": "r-" + order["order_id"]}


def charge(order: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "payment": "p-" + order["order_id"], "amount": order["amount"]}


def ship(order: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "tracking": "t-" + order["order_id"]}


async def reserve_async(order: dict[str, Any]) -> dict[str, Any]:
    return reserve(order)


async def charge_async(order: dict[str, Any]) -> dict[str, Any]:
    return charge(order)


async def ship_async(order: dict[str, Any]) -> dict[str, Any]:
    return ship(order)
