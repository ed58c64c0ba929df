"""Each mistake in an app folder is one error, with its line and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.apps import HEAD, WORKFLOW, write_app

from luaflow.registry import RegistryErrors, load_app


def entry(text: str) -> str:
    """One more entry, beginning in line 10."""
    return HEAD + text


FN = "  - name: fn\n    kind: function.lua\n    source: return 1\n"


@pytest.mark.parametrize(
    ("yaml", "line", "what", "remedy"),
    [
        ("namespace: a b\nentries: []\n", 1, "namespace 'a b' is not a name", "letters"),
        ("namespace: a\nentries: 1\n", 2, "entries must be a list", "leading '- '"),
        ("namespace: a\nentries: [x]\n", 2, "an entry must be a mapping", "write name:"),
        ("namespace: a\nentries:\n  - kind: k\n", 3, "the entry has no name", "add name:"),
        ("namespace: a\nentries:\n  - name: k\n", 3, "the entry k has no kind", "add kind:"),
        ("namespace: a\nentries:\n  - {kind: k, name: 'x:y'}\n", 3, "'x:y' is not a name", "lett"),
        ("namespace: a\nmeta: 1\n", 2, "meta must be a mapping", "write keys below meta:"),
        (
            entry("  - {name: worker, kind: registry.entry}\n"),
            10,
            "app:worker is taken by",
            "rename",
        ),
        (
            HEAD.replace("    address: localhost:6379\n", ""),
            3,
            "address is required",
            "add address:",
        ),
        (HEAD.replace("localhost:6379", "[1]"), 5, "address must be text, got a list", "string"),
        (
            HEAD.replace("localhost:6379", "ftp://x"),
            5,
            "address begins with ftp://, which is no server's",
            "redis://, rediss://, unix://",
        ),
        (HEAD.replace("    task_queue: orders\n", ""), 6, "task_queue is required", "add task_q"),
        (HEAD.replace("    client: client\n", ""), 6, "client is required", "temporal.client"),
        (
            HEAD.replace("client: client", "client: clint"),
            8,
            "app:clint of the worker app:worker does not exist",
            "did you mean app:client?",
        ),
        (HEAD.replace("orders", "a b"), 9, "the task queue 'a b'", "choose another name"),
        (
            HEAD.replace("6379\n", "6379\n    namespace: '{x}'\n"),
            6,
            "the namespace '{x}'",
            "choose",
        ),
        (
            HEAD.replace("6379\n", "6379\n    connection_timeout: -1s\n"),
            6,
            "connection_timeout must not be negative",
            "write a duration",
        ),
        (
            HEAD.replace("6379\n", "6379\n    keep_alive_time: soon\n"),
            6,
            "keep_alive_time must be a duration",
            "number with a unit",
        ),
        (
            HEAD.replace("6379\n", "6379\n    auth: {type: basic}\n"),
            6,
            "auth.type must be one of none, api_key, mtls",
            "write none",
        ),
        (
            HEAD.replace("6379\n", "6379\n    auth: {type: api_key}\n"),
            6,
            "auth.type needs exactly one of api_key, api_key_env, api_key_file",
            "give exactly one",
        ),
        (
            HEAD.replace(
                "6379\n", "6379\n    auth: {type: mtls, cert_file: c, key_file: k, key_pem: p}\n"
            ),
            6,
            "has key_file and key_pem",
            "give exactly one",
        ),
        (
            HEAD.replace("6379\n", "6379\n    tls: {server_name: s, insecure_skip_verify: true}\n"),
            6,
            "tls.insecure_skip_verify contradicts server_name",
            "remove one",
        ),
        (
            HEAD.replace("6379\n", "6379\n    tls: on\n"),
            6,
            "tls must be a mapping",
            "keys below tls:",
        ),
        (
            entry("    worker_options: {max_concurrent_workflow_task_pollers: 1}\n"),
            10,
            "max_concurrent_workflow_task_pollers cannot be 1",
            "2 or more",
        ),
        (
            entry("    worker_options: {worker_activities_per_second: -1}\n"),
            10,
            "worker_activities_per_second must be a number from 0",
            "0 or more",
        ),
        (
            entry("    worker_options: {max_concurrent_activity_execution_size: many}\n"),
            10,
            "must be a whole number, got 'many'",
            "write 1000",
        ),
        (
            entry("    worker_options: {use_versioning: maybe}\n"),
            10,
            "use_versioning must be true or false",
            "write true",
        ),
        (
            entry("    worker_options: {default_versioning_behavior: x}\n"),
            10,
            "must be one of pinned, auto_upgrade",
            "write pinned",
        ),
        (
            entry(
                "    worker_options:\n      disable_workflow_worker: true\n"
                "      local_activity_worker_only: true\n"
            ),
            12,
            "local_activity_worker_only contradicts",
            "remove one",
        ),
        (entry("  - {name: x, kind: library.lua}\n"), 10, "source is required", "file://"),
        (
            entry("  - name: x\n    kind: library.lua\n    source: file://no.lua\n"),
            12,
            "file://no.lua does not exist",
            "create no.lua",
        ),
        (
            entry("  - name: x\n    kind: library.lua\n    source: file://\n"),
            12,
            "names no file",
            "relative path",
        ),
        (
            entry("  - name: x\n    kind: library.lua\n    source: file://../out.lua\n"),
            12,
            "leaves the app folder",
            "move the file",
        ),
        (
            entry("  - name: x\n    kind: library.lua\n    source: file:///../out.lua\n"),
            12,
            "leaves the app folder",
            "move the file",
        ),
        (
            entry("  - name: x\n    kind: library.lua\n    source: file://link.lua\n"),
            12,
            "leaves the app folder",
            "move the file",
        ),
        (
            entry("  - name: x\n    kind: library.lua\n    source: file://a.yaml\n"),
            12,
            "is not a Lua file",
            "ends in .lua",
        ),
        (
            entry("  - name: x\n    kind: library.lua\n    source: file://latin.lua\n"),
            12,
            "is not UTF-8 text (line 2)",
            "save it as UTF-8",
        ),
        (
            entry("  - name: x\n    kind: library.lua\n    source: file://big.lua\n"),
            12,
            "more than 1048576 bytes",
            "split",
        ),
        (entry("  - {name: x, kind: function.python}\n"), 10, "handler is required", "add handler"),
        (
            entry("  - name: x\n    kind: function.python\n    handler: os.system\n"),
            12,
            "must be package.module:callable",
            "my_app.activities:charge",
        ),
        (entry(FN + "    modules: json\n"), 13, "modules must be a list of names", "[a, b]"),
        (
            entry(FN + "    imports: {a: nothere}\n"),
            13,
            "app:nothere is no Lua entry",
            "library.lua",
        ),
        (entry(FN + "    imports: {a: app:f}\n"), 13, "app:f is no Lua entry", "mean app:fn?"),
        (entry(FN + "    imports: {me: fn}\n"), 13, "app:fn -> app:fn", "library of its own"),
        (
            entry(
                FN
                + "    imports:\n      b: lib\n"
                + FN.replace("fn", "lib")
                + "    imports:\n      c: fn\n"
            ),
            19,
            "imports go in a circle: app:fn -> app:lib -> app:fn",
            "library of its own",
        ),
        (
            entry(FN + "    meta:\n      temporal:\n        activity:\n          worker: wrker\n"),
            16,
            "worker app:wrker of app:fn does not exist",
            "mean app:worker?",
        ),
        (
            entry(WORKFLOW.replace("worker: worker", "worker: zzz")),
            14,
            "worker app:zzz of app:wf does not exist",
            "kind temporal.worker",
        ),
        (
            entry(
                WORKFLOW
                + WORKFLOW.replace("wf\n", "wg\n").replace("{worker:", "{name: 'app:wf', worker:")
            ),
            19,
            "type app:wf stands twice on app:worker: app:wf and app:wg",
            "another name",
        ),
        (
            entry(FN + "    input_schema: text\n"),
            13,
            "must be a JSON Schema object",
            "type: object",
        ),
        (entry(FN + "    input_schema: file://bad.json\n"), 13, "bad.json:1: not YAML", "mend"),
        (
            entry(FN + "    meta:\n      options: {activity.heartbeat_timeout: x}\n"),
            14,
            "meta.options: activity.heartbeat_timeout must be a duration",
            "mend the value",
        ),
        (
            entry(FN + "    meta:\n      temporal: 5\n"),
            14,
            "meta.temporal must be a mapping",
            "keys",
        ),
    ],
)
def test_each_mistake_is_one_error(
    tmp_path: Path, yaml: str, line: int, what: str, remedy: str
) -> None:
    """Exactly one error, at the line of the mistake, with a remedy."""
    (tmp_path / "out.lua").write_text("return 1")
    app = write_app(
        tmp_path / "app",
        {
            "a.yaml": yaml,
            "wf.lua": "return {}",
            "latin.lua": b"--\n-- \xff\n",
            "big.lua": b"-" * (1024 * 1024 + 1),
            "bad.json": "{]",
        },
    )
    (app / "link.lua").symlink_to(tmp_path / "out.lua")
    with pytest.raises(RegistryErrors) as caught:
        load_app(app, {})
    errors = caught.value.errors
    assert len(errors) == 1, str(caught.value)
    assert (errors[0].file, errors[0].line) == (str(app / "a.yaml"), line), str(errors[0])
    assert what in errors[0].what
    assert remedy in errors[0].remedy
