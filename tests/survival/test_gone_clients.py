"""Clients that go away, or lose interest, while something is asked for them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from rlm_mcp.lm import LocalOpenAIServer
from rlm_mcp.settings import Settings

from ..conftest import PATIENCE
from ..server.test_stdio import processes, raw_server, receive, send, until_gone

MAP = "r = sub_llm_map([f'question {i}' for i in range(12)], concurrency=3)\nlen(r), r[11]"
RUN = "Who was it, and when?"
RUN_IN_CODE = f"sub_rlm({RUN!r})"
GATHER = (
    "import asyncio\n"
    "r = await asyncio.gather(*(asub_llm(f'question {i}') for i in range(12)))\nlen(r), r[11]"
)


class Model:
    """Answers in upper case, and as a root model looks once and submits; stops at some question.

    Args:
        server: that it speaks through.
        silent_at: text of the question that is never answered.
    """

    def __init__(self, server: LocalOpenAIServer, silent_at: str) -> None:
        self.silent_at = silent_at
        server.answer, server.delay_s = self.answer, self.delay

    def delay(self, messages: list[dict[str, Any]]) -> float:
        last = str(messages[-1]["content"])
        return 600 if self.silent_at and self.silent_at in last else 0

    def answer(self, messages: list[dict[str, Any]]) -> str:
        last = str(messages[-1]["content"])
        if messages[0]["role"] != "system":
            return last.upper()
        step = "print(sub_llm('a detail'))" if len(messages) == 2 else "SUBMIT('the gardener')"
        return f"```python\n{step}\n```"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalOpenAIServer]:
    with LocalOpenAIServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "any-key")
        monkeypatch.setenv("RLM_MCP_SUB_MODEL", "openai/any")
        yield running


def call(process: subprocess.Popen[str], number: int, tool: str, **arguments: Any) -> str:
    send(process, "tools/call", number, name=tool, arguments=arguments)
    reply = receive(process, lambda message: message.get("id") == number)
    text: str = reply["result"]["content"][0]["text"]
    return text


def leave(process: subprocess.Popen[str]) -> None:
    """End as a client does that is closed or killed: its ends of the pipes are no more."""
    assert process.stdin is not None
    process.stdin.close()
    drain = threading.Thread(target=lambda: process.stdout and process.stdout.read())
    drain.start()
    process.wait(timeout=PATIENCE)
    drain.join()


WORK = {
    "a map": ("exec_code", {"code": MAP}, "question 7", "=> (12, 'QUESTION 11')"),
    "a gather": ("exec_code", {"code": GATHER}, "question 7", "=> (12, 'QUESTION 11')"),
    "a run": ("sub_rlm", {"question": RUN}, "A DETAIL", "the gardener"),
    "a run in code": ("exec_code", {"code": RUN_IN_CODE}, "A DETAIL", "=> 'the gardener'"),
    "code in a run": ("sub_rlm", {"question": RUN}, "a detail", "the gardener"),
}


@pytest.mark.parametrize(
    ("work", "end"),
    [
        ("a map", "goes away"),
        ("a gather", "cancels"),
        ("a run", "cancels"),
        ("a run in code", "goes away"),
        ("code in a run", "cancels"),
    ],
)
def test_what_was_answered_for_a_client_is_there_and_nothing_else_goes_on(
    settings: Settings, server: LocalOpenAIServer, work: str, end: str
) -> None:
    tool, arguments, silent_at, expected = WORK[work]
    model = Model(server, silent_at)
    with raw_server(settings) as process:
        call(process, 2, "exec_code", code="x = 1")
        children = {pid for pid, parent, _ in processes() if parent == process.pid}
        send(process, "tools/call", 3, name=tool, arguments=arguments)
        assert server.wait_until(
            lambda now: any(silent_at in str(asked["messages"][-1]) for asked in now.requests),
            PATIENCE,
        )
        assert server.wait_until(lambda now: now.in_flight > 0, PATIENCE)
        children |= {pid for pid, parent, _ in processes() if parent == process.pid}
        if end == "goes away":
            leave(process)
            until_gone(lambda: [pid for pid, _, _ in processes() if pid in children])
        else:
            send(process, "notifications/cancelled", requestId=3, reason="not needed")
        assert server.wait_until(lambda now: now.in_flight == 0, PATIENCE)
        asked = len(server.requests)
        model.silent_at = ""
        if end == "cancels":
            finish(process, tool, arguments, expected)
    if end == "goes away":
        with raw_server(settings) as process:
            finish(process, tool, arguments, expected)
    again = {str(found["messages"][-1]["content"]) for found in server.requests[asked:]}
    before = {str(found["messages"][-1]["content"]) for found in server.requests[:asked]}
    # Only what was under way is asked a second time.
    assert len(again & before) <= 3


def finish(
    process: subprocess.Popen[str], tool: str, arguments: dict[str, Any], expected: str
) -> None:
    """The space is free, holds what it held, and the same work comes to its end."""
    assert "=> 1" in call(process, 4, "exec_code", code="x")
    text = call(process, 5, tool, **arguments)
    assert expected in text
    assert " cached" in text


@pytest.mark.parametrize("end", ["goes away", "cancels"])
def test_answers_of_an_agent_that_goes_away_are_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setenv("RLM_MCP_SUB_MODEL", "agent")
    code = "sub_llm_map(['one?', 'two?'])"
    with raw_server(settings) as process:
        assert "q2: two?" in call(process, 2, "exec_code", code=code)
        children = [pid for pid, parent, _ in processes() if parent == process.pid]
        call(process, 3, "answer_sub_llm", answers={"q1": "ONE"})
        if end == "goes away":
            leave(process)
            until_gone(lambda: [pid for pid, _, _ in processes() if pid in children])
        else:
            call(process, 4, "answer_sub_llm", answers={}, cancel=True)
            ask_for_the_rest(process, code)
    if end == "goes away":
        with raw_server(settings) as process:
            ask_for_the_rest(process, code)


def ask_for_the_rest(process: subprocess.Popen[str], code: str) -> None:
    """Run it again: only what was not answered is asked."""
    text = call(process, 5, "exec_code", code=code)
    assert "two?" in text
    assert "one?" not in text
    name = text.partition('answers={"')[2].partition('"')[0]
    assert "=> ['ONE', 'TWO']" in call(process, 6, "answer_sub_llm", answers={name: "TWO"})
