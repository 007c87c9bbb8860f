"""Questions as replies, where code in a sandbox cannot ask them yet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rlm_mcp.lm import Attachment, Prompt, Question, Questions, Request
from rlm_mcp.server._questions_text import QuestionsText, names_text

pytestmark = pytest.mark.anyio


async def opened(*requests: Request) -> list[Question]:
    questions = Questions()
    asking = [asyncio.ensure_future(questions.ask(request)) for request in requests]
    await questions.settled()
    found = questions.open
    for task in asking:
        task.cancel()
    return found


async def test_images_come_with_the_questions_that_are_shown() -> None:
    big = Attachment("image/png", b"x" * 3_000_000)
    questions = await opened(*(Request(Prompt(f"see {n}", attachments=(big,))) for n in range(3)))
    text = QuestionsText("main", 8000, named=False)
    reply = text.reply(questions)
    assert "[1 image (image/png, 2930 KB), in this order below]" in reply.text
    assert len(reply.images) == 1
    assert "2 more are shown as you answer" in reply.text
    assert len(text.reply(questions[1:], taken=["q1"]).images) == 1


async def test_control_characters_do_not_make_a_reply_longer_than_it_may_be() -> None:
    questions = await opened(*(Request(Prompt(f"{n}" + "\x00" * 20_000)) for n in range(5)))
    reply = QuestionsText("main", 3000, named=True).reply(questions)
    assert len(reply.text) <= 3000
    assert 'length=8000, space="main")' in reply.text


async def test_each_schema_is_shown_with_its_question() -> None:
    schemas: list[dict[str, Any]] = [
        {"type": "integer"},
        {"type": "string"},
        {"enum": ["x" * 5000]},
    ]
    questions = await opened(*(Request(Prompt("n?"), schema=schema) for schema in schemas))
    reply = QuestionsText("main", 8000, named=False).reply(questions)
    assert 'q1 is answered with JSON that fits {"type":"integer"}' in reply.text
    assert 'q2 is answered with JSON that fits {"type":"string"}' in reply.text
    assert """peek('_questions["q3"]', start=2, length=8000)""" in reply.text


def test_ids_are_told_in_runs() -> None:
    assert names_text(["q10", "q1", "q2", "q3", "q7"]) == "q1-q3, q7, q10"
