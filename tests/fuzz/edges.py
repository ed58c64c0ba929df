"""What people type into shells: addresses, variables of the environment, command lines."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from luaflow.codec.keys import Keyring
from luaflow.errors import InvalidArgument
from luaflow.store.address import hide_password, parse_address
from luaflow_cli.main import cli
from tests.fuzz.mutating import mutated
from tests.fuzz.target import Target


class Addresses(Target):
    """Addresses of servers, and references of keys."""

    name = "addresses"
    share = 3.0
    rate = 3700.0
    SEEDS = (
        b"redis://user:pass@localhost:6379/0?socket_timeout=5",
        b"rediss://[::1]:6380/1?ssl_cert_reqs=none",
        b"redis+sentinel://h1:1,h2:2,h3/main?sentinel_password=x",
        b"redis+cluster://h1:1,[::1]:2",
        b"unix:///tmp/x.sock?db=1",
        b"a:env:KEY_A,b:file:/etc/hostname",
    )
    WORDS = (
        *(b"://", b":", b"@", b"/", b"?", b"&", b"=", b",", b"[", b"]", b"%", b"%zz", b"#", b"db="),
        *(
            b"redis",
            b"rediss",
            b"+sentinel",
            b"+cluster",
            b"unix",
            b"health_check_interval=",
            b"ssl",
        ),
        *(b":env:", b":file:", b"/etc", b"socket_timeout=", b"protocol=", b"max_connections="),
    )

    def make(self, chance: random.Random) -> bytes:
        """An address."""
        return mutated(chance, self.SEEDS, self.WORDS)

    def run(self, data: bytes) -> None:
        """Read it as an address and as keys."""
        text = data.decode(errors="surrogateescape").replace("\0", "")
        parse_address.cache_clear()
        try:
            address = parse_address(text)
            hide_password(str(address))
        except InvalidArgument:
            pass
        with patch.dict(os.environ, {"LUAFLOW_CODEC_KEYS": text, "KEY_A": text}):
            Keyring.from_environment()


class CommandLines(Target):
    """Words after ``luaflow``, where no server can be reached."""

    name = "commands"
    quick = 60
    share = 15.0
    rate = 1200.0
    seconds = 3.0
    SEEDS = (
        b"workflow start app:order --input '[1]' --id x --search-attributes '{\"a\":1}'",
        b"workflow list --query \"WorkflowType='a'\" --limit 5 -o json",
        b"workflow signal x pay --input '{}'",
        b"workflow show x --run r",
        b"workflow terminate x --reason y",
        b"workflow reset x --event 3",
        b"workflow query x state --input '[1]'",
        b"workflow update x add --input 1 --wait accepted",
        b"activity complete abc --result '{}'",
        b"schedule create s --workflow app:x --cron '* * * * *'",
        b"schedule backfill s --start 2024-01-01T00:00:00Z --end 2024-01-02T00:00:00Z",
        b"namespace create n --retention 5d",
        b"namespace update n --durability replicated",
        b"server check",
        b"deploy",
        b"check",
        b"call app:f --input '[1]'",
    )
    WORDS = (
        *(
            b" ",
            b" --",
            b" -o json",
            b" --help",
            b"'",
            b'"',
            b" --input ",
            b"{",
            b"[1]",
            b" -",
            b"=",
        ),
        *(
            b" --query ",
            b" --id ",
            b" --limit ",
            b" -1",
            b" 1e9",
            b" --timeout ",
            b" 5m",
            b" --app .",
        ),
        *(
            b" workflow",
            b" schedule",
            b" --namespace ",
            b" --redis ",
            b"@",
            b" --memo ",
            b" --cron ",
        ),
    )

    def open(self) -> None:
        """A folder to stand in, and no address but one where nobody listens."""
        self._before = Path.cwd()
        self._folder = Path(tempfile.mkdtemp(prefix="luaflow-fuzz-"))
        os.chdir(self._folder)
        self._runner = CliRunner(env={"LUAFLOW_REDIS_URL": "redis://127.0.0.1:1"})

    def close(self) -> None:
        """Go back."""
        os.chdir(self._before)
        shutil.rmtree(self._folder)

    def make(self, chance: random.Random) -> bytes:
        """A line."""
        return mutated(chance, self.SEEDS, self.WORDS)

    def run(self, data: bytes) -> None:
        """Run it: an exit code that is promised, and never a traceback or "unexpected"."""
        try:
            words = shlex.split(data.decode(errors="replace").replace("\0", ""))
        except ValueError:
            return
        if not words or words[0] in {"dev", "demo", "serve", "init"}:
            return
        result = self._runner.invoke(cli, words)
        assert result.exit_code in {0, 1, 2, 3, 4, 5, 130}, f"exit code {result.exit_code}"
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        said = result.output.partition("error: unexpected ")[2]
        assert not said, f"unexpected {said[:200]}"
