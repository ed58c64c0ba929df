"""What the modules of Lua code ask Python to compute.

``PURE``: the algorithm is fixed for ever (hashes, ciphers), so the answer is the same on every
machine and nothing is recorded. ``RECORDED``: a library, its data or chance decides; in a workflow
the answer is a marker in the history, and replay takes it from there (design 8).

Each takes the values as Lua gave them (text as bytes) and returns one value. Refusals are returned
as a Failure, which Lua sees as an error object. A missing library raises MissingLibrary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from luaflow.lua.services import ciphers, hashes, schemas, tokens, yamltext, zones

PURE: Final[dict[str, Callable[..., Any]]] = {
    "hash": hashes.digest,
    "hmac": hashes.authenticate,
    "pbkdf2": hashes.derive,
    "decrypt": ciphers.decrypt,
    "jwt.encode": tokens.encode,
}

RECORDED: Final[dict[str, Callable[..., Any]]] = {
    "crypto.random.bytes": ciphers.random_bytes,
    "crypto.random.string": ciphers.random_string,
    "crypto.encrypt": ciphers.encrypt,
    "crypto.jwt.verify": tokens.verify,
    "json.validate": schemas.validate,
    "time.zone": zones.zone,
    "yaml.encode": yamltext.encode,
    "yaml.decode": yamltext.decode,
}
