"""What sub-models were paid for is there after `kill -9`, and is not paid for again."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import Any

import pytest

from rlm_mcp.lm import LocalOpenAIServer
from rlm_mcp.settings import Settings

from ..conftest import PATIENCE
from ..server.test_stdio import raw_server, receive, send

CODE = "r = sub_llm_map([f'question {i}' for i in range(20)], concurrency=4)\nlen(r), r[19]"


def until_kept(settings: Settings, answers: int) -> None:
    """Wait for the answers to be on the disk: the next call does not wait for that."""
    with contextlib.closing(sqlite3.connect(settings.home / "store.sqlite")) as database:
        deadline = time.monotonic() + PATIENCE
        while database.execute("SELECT COUNT(*) FROM answers").fetchone()[0] < answers:
            assert time.monotonic() < deadline, "answers that were given are not kept"


def test_a_map_that_a_kill_interrupts_asks_only_for_the_rest(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 10

    def answer(messages: list[dict[str, Any]]) -> str:
        nonlocal left
        left -= 1
        if left == 0:
            model.delay_s = 600
        return str(messages[-1]["content"]).upper()

    with LocalOpenAIServer(answer) as model:
        monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "any-key")
        monkeypatch.setenv("RLM_MCP_SUB_MODEL", "openai/any")
        with raw_server(settings) as process:
            send(process, "tools/call", 2, name="exec_code", arguments={"code": CODE})
            # Each of the four asks for the next one when its last answer has been handed on. Up to
            # three were on their way when the tenth answer was given, and were answered as well.
            assert model.wait_until(lambda now: left <= 0 and now.in_flight == 4, PATIENCE)
            answered = len(model.requests) - 4
            assert 10 <= answered <= 13
            until_kept(settings, answered)
            process.kill()
            process.wait()
        model.delay_s = 0
        with raw_server(settings) as process:
            send(process, "tools/call", 2, name="exec_code", arguments={"code": CODE})
            reply = receive(process, lambda message: message.get("id") == 2)
            text = reply["result"]["content"][0]["text"]
            assert "=> (20, 'QUESTION 19')" in text
            assert f"{20 - answered} sub-LLM calls, {answered} cached" in text
            send(process, "tools/call", 3, name="spaces", arguments={"action": "info"})
            reply = receive(process, lambda message: message.get("id") == 3)
            # The four that were in flight may have been paid for; nobody said so.
            spent = f"spent: 20 sub-LLM calls, {answered} cached"
            assert spent in reply["result"]["content"][0]["text"]
