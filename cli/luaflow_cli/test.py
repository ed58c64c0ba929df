"""``luaflow test``: the test entries of an app, run against everything the app needs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from luaflow_cli.common import common, place, run, settings

if TYPE_CHECKING:
    from luaflow.registry import App
    from luaflow_cli.testing import Result, Test


@click.command()
@click.argument("paths", nargs=-1, metavar="[APP]")
@click.option(
    "--include",
    multiple=True,
    metavar="PATH...",
    help="Load these folders of the app only; may be repeated.",
)
@click.option("-k", "--filter", "words", multiple=True, metavar="TEXT", help="Ids that hold this.")
@click.option("--suite", "suites", multiple=True, metavar="NAME", help="This meta.suite only.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that each test may take.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show all warnings, and the log of each test.")
@common()
@click.pass_context
def test(
    ctx: click.Context,
    paths: tuple[str, ...],
    include: tuple[str, ...],
    words: tuple[str, ...],
    suites: tuple[str, ...],
    timeout: float,
    *,
    verbose: bool,
) -> None:
    """Run the test entries of an app.

    A test is an entry with `meta.type: test`. It passes when it raises nothing, returns no error
    and does not return false. Everything the app needs runs in this process; the server, too,
    unless --redis or LUAFLOW_REDIS_URL names one.
    """
    from luaflow.errors import InvalidArgument
    from luaflow.registry.check import refused
    from luaflow_cli.testing import find_tests

    if len(paths) > 1 and not include:
        raise click.UsageError("one app at a time: what else are the paths?")
    app = _load(paths[0] if paths else None, (*include, *paths[1:]))
    app.leave_out(refused(app))
    _warn(app, verbose=verbose)
    tests = find_tests(app, suites=suites, words=words)
    if not tests:
        raise InvalidArgument(
            "no test entry was found \u2013 give an entry `meta: {type: test}`, "
            "or look at --include, --filter and --suite"
        )
    with _server() as url:
        results = run(_run(app, url, tests, timeout, verbose=verbose))
    _summary(results)
    ctx.exit(1 if any(result.problem for result in results) else 0)


def _load(folder: str | None, include: tuple[str, ...]) -> App:
    """The app, as far as it is included; what is broken or missing in it is a warning."""
    from luaflow.registry import load_app
    from luaflow.registry.loader import source_folders

    root = Path(folder or settings().app or ".")
    if not include or not root.is_dir():
        return load_app(root, partly=True)
    sources = source_folders(root)
    return load_app(root, partly=True, only=[_inside(root, sources, path) for path in include])


def _inside(root: Path, sources: list[Path], path: str) -> Path:
    """An included path: from the source folder, from the app folder, or from here."""
    from luaflow.errors import InvalidArgument

    for base in (*sources, root, Path()):
        found = (base / path).resolve()
        if found.exists() and any(found.is_relative_to(one.resolve()) for one in sources):
            return found
    where = " or ".join(map(str, sources))
    raise InvalidArgument(f"--include {path}: there is no such folder in {where}")


def _warn(app: App, *, verbose: bool) -> None:
    from luaflow_cli.check import show_warnings
    from luaflow_cli.output import counted

    if verbose:
        show_warnings(app.warnings)
    elif app.warnings:
        click.echo(f"{counted(len(app.warnings), 'warning')} (--verbose shows them)", err=True)


@contextlib.contextmanager
def _server() -> Iterator[str]:
    """The server that was named, or one of our own, gone with all data at the end."""
    if named := settings().redis:
        yield named
        return
    from luaflow.embedded import EmbeddedServer

    with (
        tempfile.TemporaryDirectory(prefix="luaflow-test-", ignore_cleanup_errors=True) as folder,
        EmbeddedServer(Path(folder), appendfsync="no") as server,
    ):
        yield server.url


async def _run(
    app: App, url: str, tests: list[Test], timeout: float, *, verbose: bool
) -> list[Result]:
    """Run the tests one after the other, and tell of each as it ends."""
    from luaflow_cli.local import running
    from luaflow_cli.testing import run_test

    results: list[Result] = []
    async with running(app, url, place(app)[1] or "default") as running_app:
        for one in tests:
            if not settings().json and (not results or results[-1].test.suite != one.suite):
                click.echo(one.suite or "(no suite)")
            results.append(await run_test(running_app, one, timeout))
            if not settings().json:
                _tell(results[-1], verbose=verbose)
    return results


def _tell(result: Result, *, verbose: bool) -> None:
    problem = result.problem
    word = click.style("FAIL", fg="red") if problem else click.style("ok  ", fg="green")
    click.echo(f"  {word}  {result.test.entry.id}  {result.seconds * 1000:.0f} ms")
    if problem:
        click.echo(f"        {problem.file}:{problem.line}: {problem.message}")
    if problem or verbose:
        for line in result.log:
            click.echo(f"        | {line}")


def _summary(results: list[Result]) -> None:
    from luaflow_cli.output import show_json, show_table

    failed = sum(result.problem is not None for result in results)
    passed = len(results) - failed
    if settings().json:
        tests = [result.to_json() for result in results]
        show_json({"passed": passed, "failed": failed, "tests": tests})
        return
    rows = []
    for suite in dict.fromkeys(result.test.suite for result in results):
        mine = [result for result in results if result.test.suite == suite]
        bad = sum(result.problem is not None for result in mine)
        seconds = sum(result.seconds for result in mine)
        rows.append([suite or "(no suite)", str(len(mine) - bad), str(bad), f"{seconds:.2f} s"])
    click.echo()
    show_table(("suite", "passed", "failed", "time"), rows)
    click.echo(f"{passed} passed, {failed} failed")
