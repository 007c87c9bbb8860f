"""Budgets: never passed, whoever asks at once, and corrected by what was used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import (
    Account,
    Answer,
    Budget,
    Budgeted,
    Failure,
    LiteLLMModel,
    LocalOpenAIServer,
    Prompt,
    Request,
    ScriptedModel,
    Usage,
    ask_all,
)
from rlm_mcp.store import Store

pytestmark = pytest.mark.anyio

PRICED = "openai/gpt-4o-mini"


class Held:
    """Answers when it is told to, and counts what is in flight."""

    def __init__(self) -> None:
        self.usage = Usage(1, 0, 10, 5, 0.01)
        self.asked = 0
        self.most = 0
        self.in_flight = 0
        self.requests: list[Request] = []
        self.go = anyio.Event()

    async def ask(self, request: Request) -> Answer:
        self.requests.append(request)
        self.asked += 1
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await self.go.wait()
        finally:
            self.in_flight -= 1
        usage = self.usage
        return Answer("yes", None, "m", usage.input_tokens, usage.output_tokens, usage.usd)

    async def estimate(self, request: Request) -> Usage:
        return Usage(1, 0, 30, request.max_tokens or 1000, 0.02)

    async def aclose(self) -> None: ...


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def questions(count: int, **fields: int) -> list[Request]:
    return [Request(Prompt(f"question {number}"), **fields) for number in range(count)]  # type: ignore[arg-type]


async def test_a_hundred_callers_never_make_more_calls_than_the_budget(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    account = Account("this run", Budget(calls=30), raised_by={"calls": "MAX"})
    server.fail_next(*[Failure(500)] * 5)
    results = await ask_all(Budgeted(model, account), questions(100), concurrency=100)
    assert len(server.requests) == 30
    assert sum(isinstance(result, Answer) for result in results) == 25
    refused = [result for result in results if isinstance(result, SubLLMError)]
    assert {error.kind for error in refused} <= {"budget"}
    assert "this run has made 30 of 30 sub-LLM calls. Raise MAX" in str(refused[-1])
    assert (await account.spent()).calls == 30


async def test_callers_wait_for_what_others_reserved_and_take_what_they_gave_back() -> None:
    source = Held()
    account = Account("this run", Budget(tokens=400))
    budgeted = Budgeted(source, account)
    results: list[Answer | SubLLMError] = []

    async def run() -> None:
        results.extend(await ask_all(budgeted, questions(20, max_tokens=60), concurrency=20))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        with anyio.fail_after(10):
            while source.in_flight < 4:
                await anyio.lowlevel.checkpoint()
        # 40 + 60 tokens each were reserved, so four fit at once; they use 15 each.
        assert source.most == 4
        source.go.set()
    answered = sum(isinstance(result, Answer) for result in results)
    spent = await account.spent()
    assert spent.tokens == answered * 15 <= 400
    assert answered == 20
    assert account.left().tokens == 100


async def test_what_a_cancelled_call_reserved_is_released() -> None:
    source = Held()
    account = Account("this run", Budget(tokens=150))
    with anyio.move_on_after(30) as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(Budgeted(source, account).ask, questions(1, max_tokens=60)[0])
            while source.in_flight == 0:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert not scope.cancelled_caught
    source.go.set()
    assert (await Budgeted(source, account).ask(*questions(1, max_tokens=60))).text == "yes"


async def test_a_call_that_is_given_up_counts_as_all_that_it_may_be_charged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else code that gives each call up at once would spend without end."""
    with LocalOpenAIServer(delay_s=600) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        model = LiteLLMModel(PRICED)
        await model.load()
        account = Account("this run", Budget(usd=0.001))
        source = Budgeted(model, account)
        (question,) = questions(1, max_tokens=1000)
        async with anyio.create_task_group() as group:
            group.start_soon(source.ask, question)
            await anyio.to_thread.run_sync(server.wait_until, lambda s: s.in_flight == 1, 30)
            group.cancel_scope.cancel()
        spent = await account.spent()
        assert (spent.calls, spent.failed, spent.output_tokens) == (1, 1, 1000)
        assert spent.usd == pytest.approx(1000 * 0.6e-6 * 4 / 3, rel=0.1)
        with pytest.raises(SubLLMError, match="has spent") as caught:
            await source.ask(question)
        assert caught.value.kind == "budget"
        # Where nothing but calls is bounded, nothing is known of it but that it was made.
        other = Account("this run", Budget(calls=5))
        with anyio.move_on_after(0.2):
            await Budgeted(model, other).ask(question)
        spent = await other.spent()
        assert (spent.calls, spent.tokens, spent.usd, spent.unpriced) == (1, 0, 0.0, 1)
        await model.aclose()


async def test_every_account_of_the_chain_must_agree_and_pays() -> None:
    tree = Account("the tree", Budget(calls=3))
    space = Account("space main", Budget(calls=10), tree)
    one, two = (Account(f"run {n}", Budget(calls=2), space) for n in (1, 2))
    source = ScriptedModel(lambda request: "yes")
    first = await ask_all(Budgeted(source, one), questions(4), concurrency=4)
    second = await ask_all(Budgeted(source, two), questions(4), concurrency=4)
    assert [isinstance(found, Answer) for found in first] == [True, True, False, False]
    assert [isinstance(found, Answer) for found in second] == [True, False, False, False]
    assert "run 1 has made 2 of 2" in str(first[2])
    assert "the tree has made 3 of 3" in str(second[1])
    assert [(await found.spent()).calls for found in (tree, space, one, two)] == [3, 3, 2, 1]
    assert one.left() == Budget(calls=0)


async def test_under_a_budget_of_tokens_the_length_of_an_answer_is_bounded() -> None:
    source = Held()
    source.go.set()
    account = Account("this run", Budget(tokens=2_000))
    await Budgeted(source, account).ask(*questions(1))
    await Budgeted(source, Account("free")).ask(*questions(1))
    assert [request.max_tokens for request in source.requests] == [1024, None]
    with pytest.raises(SubLLMError, match=r"used 15 of 2,000 tokens and this call may use 3,040"):
        await Budgeted(source, account).ask(*questions(1, max_tokens=3_000))


async def test_dollars_are_reserved_by_the_table_and_settled_by_what_was_used(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    # 256 tokens are the shortest answer asked for: 256 * 0.6e-6 and a few tokens of prompt.
    account = Account("space main", Budget(usd=0.0003), raised_by={"usd": "RLM_MCP_MAX_USD"})
    budgeted = Budgeted(model, account)
    answer = await budgeted.ask(Request(Prompt("x" * 400), model=PRICED))
    assert server.requests[0]["max_tokens"] == 256
    spent = await account.spent()
    assert answer.usd == pytest.approx(spent.usd) == pytest.approx(100 * 0.15e-6 + 100 * 0.6e-6)
    with pytest.raises(SubLLMError, match=r"spent \$0.0001 of \$0.0003.*RLM_MCP_MAX_USD") as caught:
        await budgeted.ask(Request(Prompt("x"), model=PRICED, max_tokens=16_000))
    assert (caught.value.kind, caught.value.calls) == ("budget", 0)


async def test_a_budget_of_dollars_refuses_an_unknown_price(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    account = Account("space main", Budget(usd=5), raised_by={"usd": "RLM_MCP_MAX_USD"})
    with pytest.raises(SubLLMError, match=r"price of .* is unknown.*Bound calls or tokens instead"):
        await Budgeted(model, account).ask(Request(Prompt("x")))
    assert server.requests == []


async def test_tries_count_and_a_try_too_many_is_a_budget_error_with_what_was_spent(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    account = Account("this run", Budget(calls=2))
    server.fail_next(*[Failure(500)] * 3)
    with pytest.raises(SubLLMError, match="has made 2 of 2") as caught:
        await Budgeted(model, account).ask(Request(Prompt("x")))
    assert (caught.value.kind, caught.value.calls) == ("budget", 2)
    spent = await account.spent()
    assert (spent.calls, spent.failed) == (2, 1)


async def test_what_a_bad_answer_cost_is_in_the_error_and_in_the_batch(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = lambda messages: "NaN"
    account = Account("this run")
    told: list[Usage] = []

    async def on_progress(progress: object) -> None:
        told.append(progress.usage)  # type: ignore[attr-defined]

    request = Request(Prompt("x"), model=PRICED, schema={"type": "object"})
    (error,) = await ask_all(
        Budgeted(model, account), [request], concurrency=1, on_progress=on_progress
    )
    assert isinstance(error, SubLLMError)
    spent = await account.spent()
    assert (error.calls, error.input_tokens, error.output_tokens) == (
        3,
        spent.input_tokens,
        spent.output_tokens,
    )
    assert error.usd == pytest.approx(spent.usd)
    assert spent.usd > 0
    assert told[-1] == Usage.of_error(error)


async def test_what_is_said_about_a_bad_answer_is_reserved_as_well(
    server: LocalOpenAIServer, model: LiteLLMModel
) -> None:
    server.answer = lambda messages: "no " * 400  # 300 tokens
    account = Account("this run", Budget(tokens=1100))
    request = Request(Prompt("x" * 300), schema={"type": "object"}, max_tokens=400)
    with pytest.raises(SubLLMError, match=r"of 1,100 tokens and this call may use 8\d\d") as caught:
        await Budgeted(model, account).ask(request)
    assert (caught.value.kind, caught.value.calls) == ("budget", 1)
    assert len(server.requests) == 1


async def test_a_budget_of_seconds_ends_a_call_that_is_under_way() -> None:
    source = Held()
    account = Account("this run", Budget(seconds=0.2))
    for _ in range(2):
        with pytest.raises(SubLLMError, match=r"the 0\.2 s of this run have passed") as caught:
            await Budgeted(source, account).ask(*questions(1))
        assert caught.value.kind == "budget"
    assert source.asked == 1
    assert source.in_flight == 0


async def test_the_seconds_of_a_call_that_ended_are_gone_for_those_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    for module in ("_account", "_call_seconds", "_hold"):
        monkeypatch.setattr(f"rlm_mcp.lm.{module}.time", clock)
    first, second = Held(), Held()
    account = Account("space main", Budget(seconds=1000), adds_up=True)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(Budgeted(first, account).ask, questions(1)[0])
            waiting = asyncio.create_task(Budgeted(second, account).ask(*questions(1)))
            while not (first.asked and second.asked):
                await anyio.lowlevel.checkpoint()
            # Both have taken nearly half; when one ends, hundredths of a second are left.
            clock.now = 499.99
            first.go.set()
        with pytest.raises(SubLLMError, match="have taken their 1000 s"):
            clock.now = 500.02
            await waiting
    assert (await account.spent()).seconds == pytest.approx(1000, abs=0.1)


@pytest.mark.parametrize(("counted", "kept"), [(-1000, 1), (10**30, 1 << 40)])
async def test_what_a_provider_counts_can_neither_give_back_nor_break_a_budget(
    server: LocalOpenAIServer,
    model: LiteLLMModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    counted: int,
    kept: int,
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._openai_replies._tokens", lambda text: counted)
    account = Account("space main")
    answer = await Budgeted(model, account).ask(Request(Prompt("x"), model=PRICED))
    assert (answer.input_tokens, answer.output_tokens) == (kept, kept)
    assert answer.usd is None or answer.usd >= 0
    spent = await account.spent()
    assert (spent.calls, spent.input_tokens) == (1, kept)
    store = Store(tmp_path)
    store.answers.write([], [], {"nobody": spent}, 0)  # does not raise
    store.close()
