"""The page about values: what each looks like as JSON, written by the codec itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from luaflow.domain import values
from luaflow.domain.failure import Failure

INTRO = """\
Inputs, results, signals, memo and the like are values. In histories, and on the command line in
both directions (`--input`, `result`, `show`, …), a value is JSON; what JSON cannot say is an object
with the key `$lf`, the tag, and the key `v`. The client for Python takes and gives the values
themselves. Readers refuse a tag they do not know.
"""

SAMPLES: tuple[tuple[str, str, Any], ...] = (
    ("`nil`", "`None`", None),
    ("a boolean", "`bool`", True),
    ("an integer, 64 bits", "`int`", 42),
    ("a float", "`float`", 2.5),
    ("a float that is whole stays a float", "`float`", 3.0),
    ("`0/0`", '`float("nan")`', float("nan")),
    ("`math.huge`", '`float("inf")`', float("inf")),
    ("`-math.huge`", '`float("-inf")`', float("-inf")),
    ("a string of UTF-8", "`str`", "añil"),
    ("any other string", "`bytes`", b"\xff\x00"),
    ("a table with the keys 1, 2, …, n", "`list`, `tuple`", [1, "b"]),
    ("a table with text keys", "`dict` with text keys", {"a": 1, "b": None}),
    ("an empty table", "`[]`", []),
    ("a table with other keys, or a key `$lf`", "`dict`", {1: "one", "two": 2}),
    ("an error", "`luaflow.domain.failure.Failure`", Failure("NotFound", "no such order", False)),
    ("read as text", "`datetime` with a time zone", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ("read as text", "`timedelta`", timedelta(hours=1, seconds=30)),
)

RULES = f"""\
- A field of a table that is `nil` is not written.
- A map lists its pairs in the order of `pairs` in the sandbox: numbers, strings by their bytes,
  false, true.
- The `v` of an error has `kind`, `message`, `retryable` (true, false, or null: undecided) and,
  where there are any, `details` and `stack`.
- `{{"$lf":"sealed","v":…}}` is a payload that was not opened
  ([protect payloads](../guides/protect-payloads.md)): `c` is its codec (`zlib`, `aes-gcm`,
  `zlib+aes-gcm`), `k` the key id, `n` the nonce and `d` the data in base64; where the data are in
  an object store, `at`, `size` and `sha256` stand for `d`. `o` says for whose runs a schedule's was
  sealed; `e`, which is never stored, why it could not be opened. Inputs are sealed one by one, memo
  and context field by field. A failure is
  `{{"kind":…,"message":…,"retryable":…,"sealed":…}}`: its real message, details and stack are in
  there. In Python such a value is a `luaflow.domain.sealed.Sealed`, which can be passed on.
- Refused, with the place in the value: integers beyond 64 bits (send them as text), nesting deeper
  than {values.MAX_DEPTH} levels, functions, threads, a table that contains itself.
"""


def rows() -> list[tuple[str, str, str]]:
    """A row for each sample: in Lua, in Python, as JSON."""
    return [(lua, python, f"`{values.dumps(one).decode()}`") for lua, python, one in SAMPLES]
