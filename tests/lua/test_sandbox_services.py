"""What hostile code asks Python ends with an ordinary answer, and in time."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from tests.modules.support_modules import in_function, in_workflow, play

from luaflow.domain.failure import Failure
from luaflow.errors import WorkflowFailed
from luaflow.lua import vm
from luaflow.lua.services import tokens
from luaflow.lua.vm import ActivationFault
from luaflow_worker.function_services import SERVICES

ODD = {
    "a list as header": (("crypto",), 'return (crypto.jwt.encode({_header = {1}}, "k"))'),
    "a number of 400 digits": (
        ("yaml",),
        'return (yaml.decode("a: " .. ("9"):rep(400))).a > 1e308',
    ),
    "a hexadecimal one": (("yaml",), 'return (yaml.decode("- 0x" .. ("f"):rep(400)))[1] > 1e308'),
    "keys that Python takes for one": (
        ("yaml",),
        "return select(2, yaml.encode({[true] = 1, [1] = 2})):kind()",
    ),
    "a zone of a long name": (
        ("time",),
        'return select(2, time.load_location(("a"):rep(300))):kind()',
    ),
    "a zone in deep folders": (
        ("time",),
        'return select(2, time.load_location(("a/"):rep(3000) .. "a")):kind()',
    ),
    "a schema of no known draft": (("json",), 'return (json.validate({["$schema"] = {1}}, 1))'),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_values_are_answered(tmp_path: Path, name: str) -> None:
    """They are read, or refused in words; Python's own errors never come out."""
    modules, body = ODD[name]
    found = in_workflow(body, modules=modules)
    assert isinstance(found, (str, bool))
    assert await in_function(tmp_path, body, modules=modules) == found


MANY = {
    "names of UUIDs": (
        ("uuid",),
        'local n, ns = ("x"):rep(1000000), ("0"):rep(32) while true do uuid.v5(ns, n) end',
    ),
    "texts from large alphabets": (
        ("crypto",),
        'local a = ("ab"):rep(500) while true do crypto.random.string(1000000, a) end',
    ),
    "schemas": (
        ("json",),
        """local t, s = {}, '{"items": {"type": "integer"}}' for i = 1, 20000 do t[i] = i end
        while true do json.validate(s, t) end""",
    ),
    "digests": (("hash",), 'while true do hash.md5("") end'),
}


@pytest.mark.parametrize("name", MANY)
async def test_questions_without_end(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one activation asks has a bound of number and of time, whatever an answer costs."""
    monkeypatch.setattr(vm, "ANSWERING_SECONDS", 0.3)
    modules, body = MANY[name]
    began = time.thread_time()
    try:
        assert play(body, modules=modules).last.status == "failed"
    except ActivationFault as fault:
        assert fault.reason == "cpu"  # noqa: PT017 - either is right
    with pytest.raises(WorkflowFailed, match=r"ran too long|more than 100000 calls"):
        await in_function(tmp_path, body, modules=modules)
    assert time.thread_time() - began < 5


def test_a_million_iterations_are_allowed() -> None:
    """What the refusal names as the limit of a workflow is the limit."""
    body = 'return #hash.pbkdf2("p", "s", 1000000, 32, "sha512")'
    assert in_workflow(body, modules=("hash",)) == 32


async def test_a_key_of_days_is_refused(tmp_path: Path) -> None:
    """No thread can be stopped: what a long key multiplies counts."""
    body = 'return select(2, hash.pbkdf2("p", "s", 10000000, 1048576)):kind()'
    assert await in_function(tmp_path, body, modules=("hash",)) == "Invalid"


def test_a_private_key_of_seconds_is_refused() -> None:
    """Before it is read: reading checks that its numbers are prime."""
    found = tokens.encode(b"{}", b"{}", b"-----BEGIN PRIVATE KEY-----" + b"A" * 5000, b"RS256")
    assert isinstance(found, Failure)
    assert "more than 4096 bytes" in found.message


async def test_a_mistake_of_a_service_ends_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for ever for a function whose question made Python fail."""

    def broken(*_args: object) -> tuple[object, ...]:
        raise ZeroDivisionError

    monkeypatch.setitem(SERVICES, "env.get", broken)
    with caplog.at_level(logging.CRITICAL), pytest.raises(WorkflowFailed):
        await in_function(tmp_path, 'time.sleep("1ms") env.get("x")', modules=("env", "time"))
