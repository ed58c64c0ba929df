"""Makes inputs: mutations of seeds, with words of the format; the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

ODD: tuple[bytes, ...] = (
    *(b"", b"\0", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b"\t", b"\x7f"),
    *(b"0", b"-1", b"1e999", b"-0", b"9223372036854775807", b"9223372036854775808", b"1e-400"),
    *(b"nan", b"inf", b"null", b"true", b"nil", b"{}", b"[]", b'""', b"'", b'"', b"\\", b"${X}"),
    *(b"../../etc/passwd", b"\xf0\x9f\x98\x80", b"%s%n", b"A" * 300, b"[" * 200, b"{" * 200),
)


def mutated(chance: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """A seed after some changes; ``words`` are what the format is made of."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8, 16))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(9):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[at % len(data)] = chance.randrange(256)
            case 2:
                del data[at : at + chance.choice((1, 1, 2, 4, 16, 64))]
            case 3 | 4:
                data[at:at] = chance.choice(words or ODD)
            case 5:
                data[at:at] = chance.choice(ODD)
            case 6:
                end = at + chance.choice((1, 2, 4, 8, 16, 32))
                data[at:at] = data[at:end] * chance.choice((1, 1, 2, 20))
            case 7:
                other = chance.choice(seeds)
                start = chance.randrange(len(other) + 1)
                data[at:at] = other[start : start + chance.choice((4, 16, 64))]
            case _:
                end = at + chance.choice((1, 2, 4, 8))
                data[at:end] = chance.choice(words or ODD)
    return bytes(data[:20_000])


def json_text(chance: random.Random, depth: int = 0) -> bytes:
    """Text that is mostly JSON, with the tags and odd numbers of values among it."""
    kind = chance.randrange(12 if depth < 4 else 7)
    if kind < 3:
        return chance.choice(
            (b"0", b"-1", b"1.5", b"true", b"null", b"1e308", b"12345678901234567")
        )
    if kind < 6:
        return b'"' + chance.choice((b"", b"a", b"10s", b"\\u0000", b"\\ud800", b"\xc3\xa9")) + b'"'
    if kind == 6:
        return chance.choice(ODD)
    if kind < 9:
        return (
            b"["
            + b",".join(json_text(chance, depth + 1) for _ in range(chance.randrange(4)))
            + b"]"
        )
    if kind == 9:
        tag = chance.choice((b"bytes", b"float", b"map", b"error", b"x", b""))
        return b'{"$lf":"' + tag + b'","v":' + json_text(chance, depth + 1) + b"}"
    keys = (b"a", b"$lf", b"v", b"kind", b"message", b"details", b"id", b"$", b"1", b"")
    members = (
        b'"' + chance.choice(keys) + b'":' + json_text(chance, depth + 1)
        for _ in range(chance.randrange(4))
    )
    return b"{" + b",".join(members) + b"}"
