"""Questions to the calling agent, without a server above them."""

from __future__ import annotations

import asyncio

import pytest

from rlm_mcp.errors import BadRequestError, SubLLMError
from rlm_mcp.lm import (
    AgentModel,
    Answer,
    Attachment,
    Prompt,
    Questions,
    Request,
    Turn,
    Usage,
    open_model,
)

pytestmark = pytest.mark.anyio


def begin(questions: Questions, request: Request) -> asyncio.Task[Answer]:
    """Ask the agent, as a call of a tool does whose questions these are."""
    with questions.asked_here():
        return asyncio.create_task(AgentModel().ask(request))


async def test_a_request_waits_for_its_answer_and_costs_nothing() -> None:
    questions = Questions()
    asking = begin(questions, Request(Prompt("hello")))
    await questions.settled()
    ((question),) = questions.open
    assert question.text == "hello"
    await questions.answer(question.id, "hi")
    assert await asking == Answer("hi", None, "agent", 0, 0, 0.0)
    assert questions.open == []
    assert await AgentModel().estimate(Request(Prompt("hello"))) == Usage(1, usd=0.0)


async def test_a_request_that_is_cancelled_is_withdrawn_when_nobody_else_asks_it() -> None:
    questions = Questions()
    first = begin(questions, Request(Prompt("same")))
    second = begin(questions, Request(Prompt("same")))
    await questions.settled()
    ((question),) = questions.open
    first.cancel()
    await asyncio.wait([first])
    assert questions.open == [question]
    second.cancel()
    await asyncio.wait([second])
    assert questions.open == []
    with pytest.raises(BadRequestError, match="no longer asked"):
        await questions.answer(question.id, "late")


async def test_fresh_requests_are_asked_each_for_itself() -> None:
    questions = Questions()
    asking = [begin(questions, Request(Prompt("opinion?"), fresh=True)) for _ in range(3)]
    await questions.settled()
    assert len(questions.open) == 3
    for number, question in enumerate(questions.open):
        await questions.answer(question.id, str(number))
    assert [(await task).text for task in asking] == ["0", "1", "2"]


async def test_a_question_holds_what_was_said_before() -> None:
    questions = Questions()
    prompt = Prompt("and 3?", "Be brief.", (Turn("user", "1 + 1?"), Turn("assistant", "2")))
    asking = begin(questions, Request(prompt))
    await questions.settled()
    ((question),) = questions.open
    assert question.text == (
        "[instructions]\nBe brief.\n\n[user]\n1 + 1?\n\n[assistant]\n2\n\n[user]\nand 3?"
    )
    asking.cancel()


@pytest.mark.parametrize(
    ("attachment", "message"),
    [
        (Attachment("application/pdf", b"x"), "cannot be shown application/pdf"),
        (Attachment("image/png", b"x" * 5_000_001), "at most 5,000,000"),
    ],
)
async def test_what_cannot_be_shown_is_refused(attachment: Attachment, message: str) -> None:
    questions = Questions()
    with pytest.raises(SubLLMError, match=message) as caught:
        await begin(questions, Request(Prompt("see", attachments=(attachment,))))
    assert caught.value.kind == "refused"
    assert questions.open == []


async def test_a_schema_that_nothing_can_meet_fails_the_call_and_not_the_answer() -> None:
    questions = Questions()
    asking = begin(questions, Request(Prompt("x"), schema={"$ref": "#/nowhere"}))
    await questions.settled()
    await questions.answer(questions.open[0].id, {"n": 1})
    with pytest.raises(SubLLMError, match="refers to nothing") as caught:
        await asking
    assert caught.value.kind == "schema"


async def test_a_request_for_another_model_is_not_put_to_the_agent() -> None:
    questions = Questions()
    with pytest.raises(SubLLMError, match="a/b: only the calling agent"):
        await begin(questions, Request(Prompt("x"), model="a/b"))
    assert questions.open == []


async def test_where_no_agent_calls_the_error_says_what_to_set() -> None:
    model = open_model("agent")
    assert isinstance(model, AgentModel)
    with pytest.raises(SubLLMError, match=r"Set RLM_MCP_SUB_MODEL.*ollama_chat/") as caught:
        await model.ask(Request(Prompt("hello")))
    assert caught.value.kind == "no_model"
