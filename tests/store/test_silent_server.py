"""A server that falls silent while a connection to it is made keeps nobody waiting."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.mutants import proves, replaced

from luaflow.errors import Unavailable
from luaflow.store import link
from luaflow.store.link import Link


class HalfDeaf:
    """Answers the first words of a connection, and nothing once it is asked for INFO."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                if b"\r\nINFO\r\n" not in data:
                    writer.write(b"+OK\r\n" * data.count(b"*"))
        finally:
            writer.close()
            self.ended.set()


@proves(replaced(link, "PREPARE_SECONDS", 3600.0))
async def test_a_server_silent_after_the_first_words_is_given_up() -> None:
    """Nothing is under way yet that the watch of the connection could miss an answer to."""
    patience = link.PREPARE_SECONDS
    link.PREPARE_SECONDS = min(patience, 0.3) if patience < 100 else patience
    deaf = HalfDeaf()
    server = await asyncio.start_server(deaf.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    one = Link(f"redis://127.0.0.1:{port}")
    try:
        async with asyncio.timeout(2):
            with pytest.raises(Unavailable):
                await one.connect()
    finally:
        link.PREPARE_SECONDS = patience
        await one.close()
        server.close()
        await deaf.ended.wait()
