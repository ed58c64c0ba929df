"""A user that may too little: one line that says who, what, on what, and exit code 5."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import acl
from tests.support.commands import Answer, Commands
from tests.support.mutants import proves, replaced
from tests.support.processes import Program

from luaflow.errors import Refused, exit_code
from luaflow.store import namespaces
from luaflow.store.keys import Partition
from luaflow.store.link import Link
from luaflow.store.namespaces import Settings, create_namespace, read_settings, update_namespace
from luaflow.store.store import Store

pytestmark = pytest.mark.one_server("users are of one server")


@pytest.fixture
async def admin(redis_url: str, namespace: str) -> AsyncIterator[Link]:
    """One who may do anything; the namespace has all users."""
    link = Link(redis_url)
    await create_namespace(link, namespace, Settings(partitions=1))
    await acl.make_users(link, namespace)
    yield link
    await acl.drop_users(link, namespace)
    await link.close()


async def without(admin: Link, namespace: str, role: str, *rules: str) -> str:
    """The address of a role that lacks some of its permissions."""
    kept = [one for one in acl.users(namespace)[role] if one not in rules]
    await acl.make_user(admin, namespace, role, kept)
    return acl.url_as(admin.url, role, namespace)


async def said(url: str, namespace: str, *words: str) -> Answer:
    """What a command says to a user."""
    return await asyncio.to_thread(Commands(url, namespace), *words)


@pytest.mark.parametrize(
    ("role", "lacks", "words", "what"),
    [
        ("reader", "+hget", "workflow list", "run the command 'hget'"),
        ("reader", "%R~lf:namespaces", "workflow list", "use the key lf:namespaces: "),
        ("reader", "+zrangebylex", "workflow list", "run the command 'zrangebylex'"),
        ("reader", "%R~lf:{NS:*}:*", "workflow list", "use the key lf:{NS:0}:vis: "),
        ("reader", "+client|setname", "workflow list", "run the command 'client|setname'"),
        ("serve", "+evalsha", "workflow terminate -w w -y", "run the command 'evalsha'"),
        ("serve", "", "namespace update NS --retention 1h", "use the key lf:namespaces: "),
    ],
)
async def test_a_command_says_what_is_missing(
    admin: Link, namespace: str, role: str, lacks: str, words: str, what: str
) -> None:
    """It names user, command or key, and how to allow it."""
    store = await Store.open(admin.url, namespace)
    p = store.partitions[0]
    await store.read(("HSET", p.wf("w"), "run", "r", "queue", "q", "status", "running"))
    url = await without(admin, namespace, role, lacks.replace("NS", namespace))
    answer = await said(url, namespace, *words.replace("NS", namespace).split())
    await store.read(("DEL", p.wf("w")))
    await store.close()
    assert answer.code == 5, answer
    text = f"error: Redis does not let the user '{namespace}-{role}' {what}"
    assert text.replace("NS", namespace) in answer.err
    assert f"allow it (ACL SETUSER {namespace}-{role} " in answer.err
    assert answer.err.count("\n") == 1, answer.err


@pytest.mark.parametrize("module", ["luaflow_worker.cli", "luaflow_scheduler.cli"])
async def test_a_process_says_it_before_there_is_work(
    admin: Link, namespace: str, module: str
) -> None:
    """All commands that are missing, in one line, and not in the middle of a script."""
    role = module.removeprefix("luaflow_").removesuffix(".cli")
    url = await without(admin, namespace, role, "+xadd", "+hincrby")
    words = ("--queue", "q") if role == "worker" else ("--metrics-port", "0")
    program = Program(role, "-")
    await program.start(module, "--redis", url, "--namespace", namespace, *words)
    assert await program.ended() == 5, program.last_words()
    await program.silent()
    (line,) = [line for line in program.lines if "may not use" in line]
    assert "HINCRBY, XADD on the keys and channels of" in line
    assert not any("Traceback" in line for line in program.lines)


async def test_a_deployer_needs_what_it_uses(admin: Link, namespace: str, tmp_path: Path) -> None:
    """What only other parts use is not missed; what it uses is."""
    url = acl.url_as(admin.url, "deployer", namespace)
    found = await said(url, namespace, "server", "check", "--part", "deploy", "-o", "json")
    assert found.code == 0, found
    assert not [one for one in found.json["findings"] if one["check"] == "permissions"]
    url = await without(admin, namespace, "deployer", "+hset")
    found = await said(url, namespace, "server", "check", "--part", "deploy")
    assert found.code == 5
    assert "may not use HSET on" in found.out


async def _unheard(link: Link, *commands: object) -> list[object]:
    return await link.batch(commands)  # type: ignore[arg-type]


@proves(replaced(namespaces, "_ask", _unheard))
async def test_settings_are_not_half_written(admin: Link, namespace: str) -> None:
    """Who may not write the namespace's settings leaves the partitions' copies alone, too."""
    p = Partition(namespace, 0)
    before = await admin.batch([("HGETALL", p.meta)])
    link = Link(acl.url_as(admin.url, "serve", namespace))
    try:
        with pytest.raises(Refused) as caught:
            await update_namespace(link, namespace, retention_ms=3_600_000)
        assert exit_code(caught.value) == 5
    finally:
        await link.close()
    assert await admin.batch([("HGETALL", p.meta)]) == before
    assert (await read_settings(admin, namespace)).retention_ms == Settings().retention_ms


async def test_users_are_made_from_a_file(admin: Link, namespace: str, tmp_path: Path) -> None:
    """As ``make-users.sh`` writes it; what is no rule is refused, and who may not make users."""
    user = f"{namespace}-extra"
    file = tmp_path / "users.acl"
    file.write_text(f"user {user} on >word ~x:* -@all +get\n\n")
    found = await said(admin.url, namespace, "server", "users", str(file))
    assert (found.code, found.out) == (0, f"made: {user}\n")
    (told,) = await admin.batch([("ACL", "GETUSER", user)])
    assert b"~x:*" in bytes(told[told.index(b"keys") + 1])
    await admin.batch([("ACL", "DELUSER", user)])
    url = acl.url_as(admin.url, "serve", namespace)
    found = await said(url, namespace, "server", "users", str(file))
    assert found.code == 5
    assert "run the command 'acl|setuser'" in found.err
    for text, what in (("user x on +nothing\n", "was not made"), ("# none\n", "is no ACL file")):
        file.write_text(text)
        found = await said(admin.url, namespace, "server", "users", str(file))
        assert found.code == 2
        assert what in found.err
