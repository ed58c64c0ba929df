"""What must be true of the plain jobs of a partition between two scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from luaflow.store.attempts import parse_record
from luaflow.store.jobs import SEQ
from luaflow.store.keys import JOB, Partition
from luaflow.store.store import Store


async def job_problems(store: Store, p: Partition, names: list[str], dates: list[str]) -> list[str]:
    """Every breach, in words; ``names`` are the jobs there are, ``dates`` all members of dates."""
    (open_,) = await store.read(("ZRANGE", p.jobs, 0, -1))
    listed = {bytes(name).decode() for name in open_}
    jobs = {name: await _read(store, p, name) for name in names}
    running = {name for name, fields in jobs.items() if fields["status"] == b"running"}
    found = [] if listed == running else [f"the open jobs differ: {sorted(listed ^ running)}"]
    for name, fields in jobs.items():
        found += [f"job {name}: {x}" for x in _of_job(name, fields, dates)]
    of_jobs = [d for d in dates if d.split("|")[1].startswith(JOB)]
    found += [
        f"the date {d} is about no open job"
        for d in of_jobs
        if d.split("|")[1].removeprefix(JOB) not in running
    ]
    return found


async def _read(store: Store, p: Partition, name: str) -> dict[str, bytes]:
    flat, left = await store.read(("HGETALL", p.job(name)), ("PTTL", p.job(name)))
    fields = {bytes(k).decode(): bytes(v) for k, v in zip(flat[::2], flat[1::2], strict=True)}
    return {**fields, "left": str(left).encode()}


def _of_job(name: str, fields: dict[str, bytes], dates: Iterable[str]) -> Iterator[str]:
    text = fields.get(f"a:{SEQ}")
    if fields["status"] != b"running":
        if text or fields["left"] == b"-1":
            yield "it has ended, and is kept for ever or still has an attempt"
        return
    if text is None:
        yield "it runs and has no record"
        return
    state, kinds = parse_record(text).state, {d[0] for d in dates if d[1:] == f"|{JOB}{name}|{SEQ}"}
    wanted = {"q": set[str](), "b": {"r"}, "r": {"a"}, "c": {"a"}, "x": {"a"}}[state]
    if not wanted <= kinds:
        yield f"its state is {state} and its dates are {sorted(kinds)}"
