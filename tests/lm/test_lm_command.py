"""Command-line agents: a stand-in on PATH keeps what it saw and prints what the tool prints."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import (
    Answer,
    Attachment,
    CommandAgent,
    Prompt,
    Request,
    Router,
    Turn,
    Usage,
    ask_all,
)
from tests.conftest import Connect

pytestmark = pytest.mark.anyio

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
SCRIPT = """#!{python} -IS
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
text = sys.stdin.read()
settings = os.environ.get("GEMINI_CLI_SYSTEM_SETTINGS_PATH")
seen = {{
    "argv": sys.argv[1:], "stdin": text, "cwd": os.getcwd(), "files": os.listdir(),
    "environ": dict(os.environ), "settings": settings and json.loads(Path(settings).read_text()),
    "group": os.getpgrp() == os.getpid(),
}}
number = len(list(here.glob("seen-*")))
(here / f"seen-{{number}}-{{os.getpid()}}.json").write_text(json.dumps(seen))
plan = json.loads((here / "plan.json").read_text())
step = plan[min(number, len(plan) - 1)]
if step.get("hang"):
    if os.fork() == 0:
        (here / "child").write_text(str(os.getpid()))
        time.sleep(100)
    time.sleep(100)
sys.stdout.write(step.get("out", ""))
sys.stdout.write("x" * step.get("flood", 0))
sys.stderr.write(step.get("err", ""))
sys.exit(step.get("status", 0))
"""


class Tool:
    def __init__(self, folder: Path, program: str) -> None:
        self.folder = folder
        self.program = program
        path = folder / program
        path.write_text(SCRIPT.format(python=sys.executable))
        path.chmod(0o755)

    def plan(self, *steps: dict[str, Any]) -> None:
        (self.folder / "plan.json").write_text(json.dumps(steps))

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("seen-*"))]

    def agent(self, model: str = "") -> CommandAgent:
        environ = {**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"}
        return CommandAgent(f"cli/{self.program}{model}", environ, backoff_s=0.01)


@pytest.fixture
def make_tool(tmp_path: Path) -> Callable[[str], Tool]:
    def make(program: str) -> Tool:
        return Tool(tmp_path, program)

    return make


def claude(text: str, **fields: Any) -> dict[str, Any]:
    found = {
        "type": "result", "subtype": "success", "is_error": False, "result": text,
        "total_cost_usd": 0.25,
        "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5},
    }  # fmt: skip
    return {"out": json.dumps(found | fields)}


def codex(*events: dict[str, Any], **step: Any) -> dict[str, Any]:
    started = {"type": "thread.started", "thread_id": "t"}
    return {"out": "\n".join(json.dumps(event) for event in (started, *events)), **step}


def message(text: str) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": "i", "type": "agent_message", "text": text}}


TURN = {
    "type": "turn.completed",
    "usage": {"input_tokens": 7, "cached_input_tokens": 2, "output_tokens": 5},
}
GEMINI_STATS = {
    "models": {"g": {"tokens": {"prompt": 7, "candidates": 3, "thoughts": 2}}},
    "tools": {"totalCalls": 0},
}
REPLIES = {
    "claude": (claude("four"), 0.25),
    "codex": (codex(message("thinking"), message("four"), TURN), None),
    "gemini": ({"out": json.dumps({"response": "four", "stats": GEMINI_STATS})}, None),
}


@pytest.mark.parametrize("program", list(REPLIES))
async def test_the_tool_answers_without_tools_in_an_empty_folder(
    make_tool: Callable[[str], Tool], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "RLM_MCP_HOME", "CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_SSE_PORT",
        "CLAUDE_CODE_ENTRYPOINT", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "MCP_TIMEOUT",
    ):  # fmt: skip
        monkeypatch.setenv(name, "of the server")
    tool = make_tool(program)
    reply, usd = REPLIES[program]
    tool.plan(reply)
    prompt = Prompt("2 + 2?", system="Be brief.", history=(Turn("user", "Hi"),))
    answer = await tool.agent(":some-model").ask(Request(prompt, max_tokens=40))
    assert answer == Answer("four", None, f"cli/{program}:some-model", 7, 5, usd)
    (seen,) = tool.seen
    assert "of the server" not in seen["environ"].values()
    assert seen["environ"]["HOME"] == os.environ["HOME"]
    assert seen["files"] == []
    assert not await anyio.Path(seen["cwd"]).exists()
    assert seen["group"]
    for text in ("2 + 2?", "Be brief.", "Hi"):
        assert text in seen["stdin"]
        assert text not in " ".join(seen["argv"])
    argv = seen["argv"]
    assert argv[argv.index("--model") + 1] == "some-model"
    if program == "claude":
        assert argv[argv.index("--tools") + 1] == ""
        assert argv[argv.index("--setting-sources") + 1] == ""
        assert {"-p", "--strict-mcp-config", "--no-session-persistence"} <= set(argv)
    elif program == "codex":
        assert argv[0] == "exec"
        assert argv[argv.index("--sandbox") + 1] == "read-only"
        assert "features.shell_tool=false" in argv
        assert argv[-1] == "-"
    else:
        assert seen["settings"]["tools"] == {"core": []}


@pytest.mark.parametrize(
    ("program", "step", "kind", "words"),
    [
        ("claude", claude("Invalid API key · Please run /login", is_error=True), "no_key", "in"),
        ("claude", claude("5-hour limit reached", is_error=True), "rate_limit", "limit"),
        ("claude", claude("Prompt is too long", is_error=True), "context", "chunks"),
        ("claude", {"err": "error: unknown option '--tools'", "status": 1}, "failed", "upgrade"),
        ("claude", {"out": "{", "status": 0}, "failed", "status 0"),
        ("codex", codex({"type": "turn.failed", "error": {"message": "401 Unauthorized"}}),
         "no_key", "codex login"),
        ("codex", codex({"type": "item.started", "item": {"id": "i", "type": "command_execution"}},
         message("secret"), TURN), "refused", "used a tool"),
        ("codex", codex(TURN), "failed", "status 0"),
        ("gemini", {"err": "no auth", "status": 41}, "no_key", "running `gemini` once"),
        ("gemini", {"out": json.dumps({"response": "x", "stats": {"tools": {"totalCalls": 1}}})},
         "refused", "used a tool"),
        ("gemini", {"err": json.dumps({"error": {"message": "boom"}}), "status": 1},
         "failed", "boom"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_what_goes_wrong_is_an_error_of_its_kind(
    make_tool: Callable[[str], Tool], program: str, step: dict[str, Any], kind: str, words: str
) -> None:
    tool = make_tool(program)
    tool.plan(step)
    with pytest.raises(SubLLMError, match=words) as caught:
        await tool.agent().ask(Request(Prompt("hello")))
    assert caught.value.kind == kind
    assert caught.value.calls == len(tool.seen) == 1


async def test_a_passing_failure_is_tried_again_and_both_tries_count(
    make_tool: Callable[[str], Tool],
) -> None:
    tool = make_tool("claude")
    tool.plan(claude("API Error: 529 overloaded", is_error=True), claude("four"))
    answer = await tool.agent().ask(Request(Prompt("hello")))
    assert (answer.text, answer.calls, answer.usd) == ("four", 2, 0.5)


async def test_a_schema_is_put_into_the_prompt_and_asked_for_again(
    make_tool: Callable[[str], Tool],
) -> None:
    tool = make_tool("claude")
    tool.plan(claude("four"), claude('```json\n{"n": 4}\n```'))
    answer = await tool.agent().ask(Request(Prompt("2 + 2?"), schema=NUMBER))
    assert answer.data == {"n": 4}
    first, second = tool.seen
    assert json.dumps(NUMBER) in first["stdin"]
    assert "That does not fit" in second["stdin"]
    assert "2 + 2?" in second["stdin"]


async def test_a_tool_that_is_not_installed_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    agent = CommandAgent("cli/codex", {"PATH": str(tmp_path)})
    with pytest.raises(SubLLMError, match=r"npm install -g @openai/codex.*codex login") as caught:
        await agent.ask(Request(Prompt("hello")))
    assert (caught.value.kind, caught.value.calls) == ("no_model", 0)


@pytest.mark.parametrize("name", ["cli/emacs", "cli/claude:--help", "cli/"])
async def test_another_name_is_an_error_that_lists_those_there_are(name: str) -> None:
    with pytest.raises(SubLLMError, match=r"cli/claude, cli/codex, cli/gemini") as caught:
        await Router("agent").ask(Request(Prompt("hello"), model=name))
    assert caught.value.kind == "no_model"


async def test_an_attachment_is_refused_before_anything_runs(
    make_tool: Callable[[str], Tool],
) -> None:
    tool = make_tool("claude")
    tool.plan(claude("four"))
    prompt = Prompt("what?", attachments=(Attachment("image/png", b"x"),))
    with pytest.raises(SubLLMError, match="text alone") as caught:
        await tool.agent().ask(Request(prompt))
    assert caught.value.kind == "refused"
    assert tool.seen == []


async def test_the_time_limit_kills_the_command_and_its_children(
    make_tool: Callable[[str], Tool],
) -> None:
    tool = make_tool("gemini")
    tool.plan({"hang": True})
    with pytest.raises(SubLLMError, match="no answer within 5 s") as caught:
        await tool.agent().ask(Request(Prompt("hello"), timeout_s=5))
    assert caught.value.kind == "timeout"
    child = int((tool.folder / "child").read_text())
    with anyio.fail_after(10):
        while _alive(child):
            await anyio.lowlevel.checkpoint()


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_what_a_command_spent_that_says_nothing_of_it_is_unknown(
    make_tool: Callable[[str], Tool],
) -> None:
    tool = make_tool("claude")
    tool.plan({"err": "Segmentation fault", "status": 139}, {}, {"flood": 17 << 20})
    for cause in ("Segmentation fault", "it said nothing", "wrote more than"):
        with pytest.raises(SubLLMError, match=cause) as caught:
            await tool.agent().ask(Request(Prompt(cause)))
        assert (caught.value.calls, caught.value.usd) == (1, None)


async def test_endless_output_is_cut_off(make_tool: Callable[[str], Tool]) -> None:
    tool = make_tool("claude")
    tool.plan({"flood": 17 << 20})
    with pytest.raises(SubLLMError, match="more than 16 MB"):
        await tool.agent().ask(Request(Prompt("hello")))


async def test_many_requests_run_a_few_at_a_time_and_keep_their_order(
    make_tool: Callable[[str], Tool],
) -> None:
    tool = make_tool("claude")
    tool.plan(claude("four"))
    requests = [Request(Prompt(f"question {number}")) for number in range(9)]
    agent = tool.agent()
    results = await ask_all(agent, requests, concurrency=9)
    assert all(isinstance(result, Answer) for result in results)
    assert len(tool.seen) == 9


async def test_the_estimate_names_no_price(make_tool: Callable[[str], Tool]) -> None:
    estimate = await make_tool("codex").agent().estimate(Request(Prompt("x" * 400), max_tokens=9))
    assert estimate.usd is None
    assert estimate.input_tokens > Usage.guess(Request(Prompt("x" * 400))).input_tokens


async def test_guest_code_is_answered_by_the_command_that_the_setting_names(
    make_tool: Callable[[str], Tool], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = make_tool("claude")
    tool.plan(claude("four"))
    monkeypatch.setenv("PATH", f"{tool.folder}:{os.environ['PATH']}")
    async with connect(sub_model="cli/claude:haiku") as agent:
        reply = await agent.run("sub_llm('2 + 2?')")
        assert "=> 'four'" in reply
        assert "1 sub-LLM call, 7 tokens in, 5 out, $0.2500" in reply
        info = (await agent.call("spaces", action="info")).text
        assert "sub-model cli/claude:haiku" in info
