"""`rlm-mcp run`: the loop from a shell, against a model behind real HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client

from rlm_mcp.lm import LocalOpenAIServer
from rlm_mcp.sandbox import Cache
from rlm_mcp.server import make_server
from rlm_mcp.settings import Settings

from ..conftest import Agent
from .conftest import Command

KEY = "sk-do-not-show-me"
Said = Callable[[list[dict[str, Any]]], str]


def block(code: str) -> str:
    return f"```python\n{code}\n```"


def work(messages: list[dict[str, Any]]) -> str:
    """A root model that counts, asks the sub-model, and submits."""
    last = messages[-1]["content"]
    if messages[0]["role"] != "system":
        return "an outage"
    if "Question:" in last:
        assert "logs: dict 2 keys" in last
        return block("lines_ = [l for t in logs.values() for l in t.splitlines() if word in l]")
    return block("SUBMIT({'n': len(lines_), 'what': sub_llm('what is ' + lines_[0])})")


@pytest.fixture
def server() -> Iterator[LocalOpenAIServer]:
    with LocalOpenAIServer(work, api_key=KEY) as running:
        yield running


@pytest.fixture
def ask(command: Command, server: LocalOpenAIServer, tmp_path: Path) -> Callable[..., Any]:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.log").write_text("fine\nERROR one\n")
    (elsewhere / "b.log").write_text("ERROR two\nfine\n")

    def ask(*arguments: str, model: str = "openai/root") -> Any:
        return command(
            "run", *arguments, "--root-model", model,
            OPENAI_BASE_URL=server.base_url, OPENAI_API_KEY=KEY,
        )  # fmt: skip

    return ask


def test_the_answer_goes_to_the_output_and_progress_to_the_error_stream(
    ask: Callable[..., Any], command: Command, server: LocalOpenAIServer, tmp_path: Path
) -> None:
    logs = tmp_path / "elsewhere" / "*.log"
    shown = ask("How many errors?", "--var", f"logs=@{logs}", "--var", "word=ERROR")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == {"n": 2, "what": "an outage"}
    assert "1/20  lines_ = [l for t in logs.values()" in shown.stderr
    assert "2 iterations," in shown.stderr
    assert "3 sub-LLM calls" in shown.stderr
    assert KEY not in shown.stderr
    roles = [message["role"] for message in server.requests[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert "No spaces yet" in command("spaces").stdout


def test_a_space_can_be_kept_and_used_again(
    ask: Callable[..., Any], command: Command, tmp_path: Path
) -> None:
    logs = tmp_path / "elsewhere"
    found = ask("How many?", "--var", f"logs=@{logs}", "--var", "word=ERROR", "--keep", "mine",
                "--json", "--quiet")  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    told = json.loads(found.stdout)
    assert told["answer"] == {"n": 2, "what": "an outage"}
    assert (told["ended"], told["calls"], told["iterations"]) == ("submitted", 3, 2)
    assert told["spaces"][0] == "mine"
    assert told["spaces"][1].startswith("mine.rlm-")
    listed = command("spaces").stdout
    assert all(name in listed for name in told["spaces"])
    again = ask("How many?", "--var", "word=fine", "--keep", "mine")
    assert json.loads(again.stdout)["n"] == 2


def test_a_path_without_its_mark_is_text_and_that_is_said(
    ask: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "x.log").write_text("fine\n")
    shown = ask("How many?", "--var", "logs=x.log", "--var", f"word={'x' * 5000}", model="nobody/x")
    assert "logs is the text 'x.log', not that file, which would be logs=@x.log" in shown.stderr
    assert "word is the text" not in shown.stderr


def test_an_answer_in_words_is_plain_text(
    ask: Callable[..., Any], server: LocalOpenAIServer
) -> None:
    server.answer = lambda messages: block("SUBMIT('Nobody knows.')")
    assert ask("Who was it?").stdout == "Nobody knows.\n"


def test_an_answer_that_is_no_text_is_kept_where_only_a_preview_of_it_is_printed(
    ask: Callable[..., Any], command: Command, server: LocalOpenAIServer
) -> None:
    server.answer = lambda messages: block("SUBMIT({(i, str(i)): i for i in range(3_000)})")
    shown = ask("Which pairs?")
    assert shown.returncode == 0, shown.stderr
    assert "dict 3,000 keys" in shown.stdout
    kept = shown.stderr.partition("All of it is `submitted` in space ")[2].split()[0]
    assert f"{kept} " in command("spaces").stdout
    told = json.loads(ask("Which pairs again?", "--json").stdout)
    assert told["preview"] is True
    assert told["spaces"]


def test_the_best_answer_so_far_has_an_exit_code_of_its_own(
    ask: Callable[..., Any], server: LocalOpenAIServer, tmp_path: Path
) -> None:
    server.answer = lambda messages: (
        '{"n": 4}' if "No more code" in messages[-1]["content"] else block(f"x = {len(messages)}")
    )
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "required": ["n"]}')
    for bound, why in (
        (("--max-iterations", "2"), "the iterations ran out"),
        (("--budget", "calls=3,seconds=900"), "the LLM calls ran out"),
    ):
        shown = ask("How many?", *bound, "--schema", str(schema))
        assert shown.returncode == 3, shown.stderr
        assert json.loads(shown.stdout) == {"n": 4}
        assert f"Not submitted: {why}" in shown.stderr


def test_a_variable_comes_through_a_pipe_and_what_is_large_stays_with_its_space(
    command: Command, environment: dict[str, str], server: LocalOpenAIServer, tmp_path: Path
) -> None:
    replies = iter([
        block("found = cite(grep('needle', logs)[0])\nprint(type(logs), found, found.place)"),
        block("SUBMIT([found.place, type(logs).__name__, rows[1]])"),
    ])  # fmt: skip
    server.answer = lambda _: next(replies)
    piped = b"x" * 99 + b"\n"
    data = piped * 15_000 + b"a needle\n" + piped * 100
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "rlm_mcp.cli", "run", "Where?", "--root-model", "openai/x",
         "--var", "logs=-", "--var", "rows=[1, 2]", "--keep", "mine", "--json"],
        env={**environment, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY,
             "RLM_MCP_VIEW_MB": "1"},
        cwd=tmp_path, input=data, capture_output=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    place, kind, _ = json.loads(shown.stdout)["answer"]
    assert kind == "FileView"
    assert place.startswith("standard input:15001 (1,510,009 bytes as changed ")
    assert hashlib.sha256(b"a needle\n").hexdigest() in place
    kept = list((tmp_path / "home/piped/mine").iterdir())
    assert [path.stat().st_size for path in kept] == [len(data)]
    assert command("spaces", "delete", "mine").returncode == 0
    assert not (tmp_path / "home/piped/mine").exists()


def test_what_came_through_a_pipe_stays_for_every_space_that_may_hold_it(
    environment: dict[str, str], server: LocalOpenAIServer, sandbox_cache: Cache, tmp_path: Path
) -> None:
    server.answer = lambda _: block("SUBMIT(len(logs))")
    data = b"x" * 99 + b"\n"
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "rlm_mcp.cli", "run", "How much?", "--root-model", "openai/x",
         "--var", "logs=-:view", "--keep", "mine"],
        env={**environment, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY},
        cwd=tmp_path, input=data * 100 + b"a needle\n", capture_output=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    home = tmp_path / "home"

    async def use() -> None:
        settings = Settings(home=home, cache=sandbox_cache.folder, allow=(tmp_path,), space="other")
        async with Client(make_server(settings)) as client:
            agent = Agent(client)
            await agent.call("spaces", action="open", space="mine")
            run = next((home / "piped").glob("mine.rlm-*")).name  # kept with its parent
            await agent.call("spaces", action="delete", space=run)
            await agent.call("spaces", action="fork", space="mine", name="fork")
            await agent.call("spaces", action="fork", space="fork", name="second")
            await agent.load("space:mine/logs")
            for gone, left in (
                ("mine", "fork"),
                ("fork", "second"),
                ("second", "other"),
                ("other", ""),
            ):
                reply = await agent.call("spaces", action="delete", space=gone)
                assert not reply.failed, reply.text
                if left:
                    name = "v" if left == "other" else "logs"
                    found = await agent.run(f"grep('needle', {name})", space=left)
                    assert "101: a needle" in found

    anyio.run(use)
    assert list((home / "piped").iterdir()) == []


def test_a_terminal_is_not_waited_for(environment: dict[str, str], tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    try:
        shown = subprocess.run(
            [sys.executable, "-P", "-m", "rlm_mcp.cli", "run", "What?", "--var", "logs=-"],
            env=environment, cwd=tmp_path, stdin=theirs, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert shown.returncode == 1
    assert "is a terminal: pipe something in" in shown.stderr


def test_a_run_without_an_answer_keeps_what_it_reached(
    ask: Callable[..., Any], command: Command, server: LocalOpenAIServer
) -> None:
    server.answer = lambda messages: block("found = 7") if len(messages) < 3 else ""
    shown = ask("How many?", "--max-llm-calls", "3")
    assert shown.returncode == 1
    assert shown.stdout == ""
    assert "No answer" in shown.stderr
    assert "Kept: run-" in shown.stderr
    assert ".rlm-" in command("spaces").stdout


def test_an_interrupt_ends_the_run_and_keeps_what_it_reached(
    environment: dict[str, str], command: Command, server: LocalOpenAIServer, tmp_path: Path
) -> None:
    def answer(messages: list[dict[str, Any]]) -> str:
        server.delay_s = 60
        return block("found = 7")

    server.answer = answer
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "rlm_mcp.cli", "run", "What?", "--root-model", "openai/x"],
        env={**environment, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": KEY},
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    with process:
        assert server.wait_until(lambda running: len(running.requests) == 2, 100)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    fork = errors.rstrip().rpartition(" ")[2]
    assert f"Interrupted; what was reached is in space {fork}" in errors
    assert "Traceback" not in errors
    assert "found = 7" in command("spaces", "info", fork).stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--var", "logs"), "--var wants NAME=@PATH, NAME=- or NAME=TEXT"),
        (("--var", "logs=@nowhere.log"), "nowhere.log"),
        (("--var", "a=-", "--var", "b=@-"), "read once, and a and b are both to come from it"),
        (("--var", "a=-:nope"), "there is no such format; there are: auto, text"),
        (("--var", "a=-"), "standard input is empty"),
        (("--var", "a b=1"), "such as a_b"),
        (("--schema", "none.json"), "the schema none.json cannot be read"),
        (("--max-iterations", "0"), "max_iterations must be"),
        (("--budget", "dollars=1"), "--budget: there is no budget of 'dollars'"),
    ],
)
def test_mistakes_are_named_and_leave_nothing_behind(
    ask: Callable[..., Any], command: Command, arguments: tuple[str, ...], expected: str
) -> None:
    shown = ask("How many?", *arguments)
    assert shown.returncode == 1
    assert expected in shown.stderr
    assert "Traceback" not in shown.stderr
    assert "No spaces yet" in command("spaces").stdout


def test_without_a_model_nobody_can_be_asked(command: Command) -> None:
    for arguments in ((), ("--root-model", "agent")):
        shown = command("run", "How many?", *arguments)
        assert shown.returncode == 1
        assert "there is no model to ask" in shown.stderr
        assert "--root-model" in shown.stderr
        assert "cli/claude" in shown.stderr
