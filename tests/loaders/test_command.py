"""Declared commands: only what the settings name, with parameters as they are."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.errors import BadRequestError, SourceError
from rlm_mcp.loaders import read_commands, run_command

pytestmark = pytest.mark.anyio

ECHO = "import sys; sys.stdout.write('|'.join(sys.argv[1:]))"


def commands(**entries: dict[str, Any]) -> Any:
    return read_commands(entries, "test.toml")


async def output(source: str, known: Any, folder: Path, **options: Any) -> str:
    options = {"max_bytes": 1 << 20, **options}
    with await run_command(source, known, str(folder), **options) as bundle:
        return os.pread(bundle.fd, bundle.size, 0).decode()


async def test_parameters_are_taken_literally(tmp_path: Path) -> None:
    known = commands(
        echo={"run": [sys.executable, "-c", ECHO, "{a}", "x={b}-{a}", "$HOME {no}"[:5]]}
    )
    found = await output("command:echo?a=%24%28id%29%3B%20%60x%60&b=--y%20%26%26", known, tmp_path)
    assert found == "$(id); `x`|x=--y &&-$(id); `x`|$HOME"


async def test_a_value_does_not_become_an_option_unless_declared(tmp_path: Path) -> None:
    run = [sys.executable, "-c", ECHO, "{a}"]
    with pytest.raises(BadRequestError, match="begins with '-'"):
        await output("command:echo?a=--all", commands(echo={"run": run}), tmp_path)
    known = commands(echo={"run": run, "options": ["a"]})
    assert await output("command:echo?a=--all", known, tmp_path) == "--all"


async def test_only_declared_commands_with_their_parameters_run(tmp_path: Path) -> None:
    known = commands(echo={"run": [sys.executable, "-c", ECHO, "{a}"]})
    for source, expected in (
        ("command:", "command:echo?a=..."),
        ("command:rm?a=1", "There is no command 'rm'"),
        ("command:../echo?a=1", "There is no command"),
        ("command:echo", "Wrong parameters"),
        ("command:echo?a=1&b=2", r"Wrong parameters \(b\)"),
        ("command:echo?a=1&a=2", "given twice"),
        ("command:echo?a", "cannot be read"),
        ("command:echo?a=%00", "NUL"),
    ):
        with pytest.raises(
            BadRequestError, match=expected.replace("?", r"\?").replace("...", r"\.\.\.")
        ):
            await output(source, known, tmp_path)
    with pytest.raises(BadRequestError, match="none are declared"):
        await output("command:x", commands(), tmp_path)


async def test_a_failure_has_its_status_and_words_without_secrets(tmp_path: Path) -> None:
    code = (
        "import os, sys; sys.stderr.write('bad key ' + os.environ.get('MY_TOKEN', 'none')); "
        "sys.exit(3)"
    )
    run = [sys.executable, "-c", code]
    environ = {**os.environ, "MY_TOKEN": "s3cret-value", "OTHER": "x"}
    with pytest.raises(SourceError, match="status 3: bad key none"):
        await output("command:c", commands(c={"run": run}), tmp_path, environ=environ)
    known = commands(c={"run": run, "env": ["MY_TOKEN"]})
    with pytest.raises(SourceError, match=r"status 3: bad key \*\*\*"):
        await output("command:c", known, tmp_path, environ=environ)
    with pytest.raises(SourceError, match="cannot be run"):
        await output("command:c", commands(c={"run": ["no-such-program-xyz"]}), tmp_path)


async def test_the_environment_is_small_and_the_folder_is_given(tmp_path: Path) -> None:
    code = "import os; print(sorted(os.environ), os.getcwd())"
    environ = {**os.environ, "OPENAI_API_KEY": "sk-abcdef", "LANG": "C.UTF-8"}
    known = commands(c={"run": [sys.executable, "-c", code]})
    found = await output("command:c", known, tmp_path, environ=environ)
    assert "OPENAI_API_KEY" not in found
    assert str(tmp_path) in found


async def test_what_does_not_end_or_gives_too_much_is_ended(tmp_path: Path) -> None:
    child = (
        "import subprocess, sys, time; wait = 'import time; time.sleep(60)'; "
        "subprocess.Popen([sys.executable, '-c', wait]); time.sleep(60)"
    )
    gone = child.replace("wait])", "wait], start_new_session=True)").replace("(60)'", "(20)'")
    known = commands(
        slow={"run": [sys.executable, "-c", child], "timeout": 0.5},
        gone={"run": [sys.executable, "-c", gone], "timeout": 0.5},
        much={"run": [sys.executable, "-c", "while True: print('x' * 10_000)"]},
    )
    with pytest.raises(SourceError, match=r"within 0\.5 s"):
        await output("command:slow", known, tmp_path)
    with pytest.raises(SourceError, match=r"within 0\.5 s"):
        await output("command:gone", known, tmp_path)  # what it left behind holds its pipe
    with pytest.raises(SourceError, match="over 100,000 bytes"):
        await output("command:much", known, tmp_path, max_bytes=100_000)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({}, "`run` must be"),
        ({"run": "ls -l"}, "`run` must be"),
        ({"run": ["{program}"]}, "program fixed"),
        ({"run": ["ls"], "shell": True}, "unknown: shell"),
        ({"run": ["ls"], "timeout": 0}, "timeout"),
        ({"run": ["ls"], "options": ["x"]}, "names no parameter"),
        ({"run": ["ls"], "env": "HOME"}, "lists of names"),
        ("ls", "must be a table"),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused(entry: Any, expected: str) -> None:
    with pytest.raises(BadRequestError, match=expected):
        commands(c=entry)
