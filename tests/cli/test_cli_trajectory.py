"""`rlm-mcp spaces show` and `export`: what happened, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Request, ScriptedModel

from ..conftest import Connect
from ..recursion._roots import RootModel, code
from .conftest import Command

pytestmark = pytest.mark.anyio


def answer(request: Request) -> str | SubLLMError:
    text = request.prompt.text
    if text in ("3", "7"):
        return SubLLMError("slow down", kind="rate_limit", provider="p", model="p/m")
    return f"the answer to {text}"


@pytest.fixture
async def history(connect: Connect) -> None:
    """Three calls in `main`: one with many sub-calls, one with few, one that fails."""
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run("# many\nr = sub_llm_map([str(i) for i in range(10)], on_error='return')")
        await agent.run("sub_llm('one'), sub_llm('two')")
        await agent.fails("exec_code", code="print('\\x1b[2J[bold]gone')\n1 / 0")
        await agent.call("spaces", action="open", space="empty")


@pytest.mark.usefixtures("history")
async def test_a_space_is_shown_as_a_tree(command: Command) -> None:
    shown = command("spaces", "show", "main")
    assert shown.returncode == 0, shown.stderr
    first, many, grouped, few, one, two, failed = shown.stdout.splitlines()
    assert first == "space main: 3 calls"
    assert "execution 1 ok" in many and "10 calls, 2 failed" in many and "# many" in many
    assert "10 sub_llm calls: 8 ok, 2 failed" in grouped
    assert "40 tokens, $0.0000 (2 rate_limit)" in grouped
    assert "execution 2 ok" in few
    assert "sub_llm ok" in one and "scripted" in one and "one" in one and "two" in two
    assert "execution 3 failed" in failed


@pytest.mark.usefixtures("history")
async def test_the_newest_calls_are_shown_and_the_way_to_all(command: Command) -> None:
    shown = command("spaces", "show", "main", "--limit", "1")
    assert "the last 1 of 3 calls" in shown.stdout
    assert "execution 3 failed" in shown.stdout and "execution 2" not in shown.stdout
    assert "--limit 3 shows all" in shown.stdout


@pytest.mark.usefixtures("history")
async def test_all_texts_are_shown_on_request_and_cannot_move_the_cursor(command: Command) -> None:
    shown = command("spaces", "show", "main", "--full")
    assert shown.stdout.count("sub_llm ") == 12
    assert "answer: the answer to 9" in shown.stdout
    assert "error: slow down" in shown.stdout
    assert "ZeroDivisionError" in shown.stdout
    assert "[bold]gone" in shown.stdout
    assert "\x1b" not in shown.stdout


async def test_it_works_while_a_server_runs(command: Command, connect: Connect) -> None:
    async with connect() as agent:
        await agent.run("x = 1")
        for _ in range(100):
            shown = command("spaces", "show", "main")
            if "execution 1 ok" in shown.stdout:
                break
        assert "execution 1 ok" in shown.stdout
        assert "=> 1" in await agent.run("x")


@pytest.mark.usefixtures("history")
async def test_the_record_is_exported_as_json_lines(command: Command, tmp_path: Path) -> None:
    shown = command("spaces", "export", "main")
    assert shown.returncode == 0, shown.stderr
    spans = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(spans) == 15
    assert list(spans[0]) == [
        "trace", "id", "parent", "space", "kind", "status", "started", "seconds", "detail",
    ]  # fmt: skip
    seen: set[str] = set()
    for span in spans:
        assert span["parent"] is None or span["parent"] in seen
        seen.add(span["id"])
    written = command("spaces", "export", "main", "--out", "spans.jsonl")
    assert written.stdout == "15 spans of space main in spans.jsonl\n"
    assert (tmp_path / "spans.jsonl").read_text() == shown.stdout
    assert (tmp_path / "spans.jsonl").stat().st_mode & 0o077 == 0
    again = command("spaces", "export", "main", "--out", "spans.jsonl")
    assert again.returncode == 1 and "exists already" in again.stderr


async def test_a_space_without_a_record_says_so_and_an_unknown_one_is_an_error(
    command: Command, connect: Connect
) -> None:
    async with connect(record="off") as agent:
        await agent.run("x = 1")
    shown = command("spaces", "show", "main")
    assert "Nothing is recorded of space main" in shown.stdout
    assert command("spaces", "export", "main").stdout == ""
    for action in ("show", "export"):
        missing = command("spaces", action, "other")
        assert missing.returncode == 1
        assert "there is no space `other`" in missing.stderr
        assert "main" in missing.stderr


async def test_runs_forks_and_what_was_taken_back_are_told_apart(
    command: Command, connect: Connect
) -> None:
    nested = code("r = sub_rlm('deeper')", "SUBMIT(r)")
    async with connect(RootModel(nested, code("import re", "SUBMIT(7)"))) as agent:
        await agent.run("x = 1")
        await agent.call("spaces", action="fork", name="trial")
        await agent.run("del x")
        await agent.call("spaces", action="undo")
        reply = await agent.run("import re\nprint(sub_rlm('What is it?'))")
        assert reply.startswith("7\n")
    shown = command("spaces", "show", "main").stdout.splitlines()
    assert "spaces fork ok" in shown[2] and "space trial is a fork of main as of" in shown[2]
    assert "spaces undo ok" in shown[4] and "undone: 'del x'; space main is at exec" in shown[4]
    assert "print(sub_rlm('What is it?'))" in shown[5]
    assert "sub_rlm ok" in shown[6] and ", space main.rlm-" in shown[6]
    fork = shown[6].partition(", space ")[2].partition(",")[0]
    assert command("spaces", "show", "trial").stdout.startswith("Nothing is recorded")
    head, outer, step, *_, last = command("spaces", "show", fork).stdout.splitlines()
    assert head == f"space {fork}: 1 call, fork of main"
    assert outer == "└── part of sub_rlm in space main  What is it?"
    assert step.startswith("    └── ") and "iteration 1 ok" in step
    assert "execution" in last and "SUBMIT(7)" in last
    (deeper,) = (line for line in shown if line.endswith("deeper") and "sub_rlm ok" in line)
    inner = deeper.partition(", space ")[2].partition(",")[0]
    shown = command("spaces", "show", inner).stdout.splitlines()
    assert shown[0] == f"space {inner}: 1 call, fork of {fork}"
    assert shown[1] == f"└── part of sub_rlm in space {fork}  deeper"
