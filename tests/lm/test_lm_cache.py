"""Known answers: found again by anyone, asked once at a time, and never in the way."""

from __future__ import annotations

import asyncio
import contextvars
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import (
    Account,
    Answer,
    Attachment,
    Budget,
    Calls,
    Prompt,
    Request,
    ScriptedModel,
    SubModel,
    Turn,
    Usage,
    ask_all,
)
from rlm_mcp.store import Answers, KeptAnswer, Store

pytestmark = pytest.mark.anyio


def upper(request: Request) -> str | SubLLMError:
    return '{"n": 1}' if request.schema is not None else request.prompt.text.upper()


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = anyio.Event()
        self.answer = Answer("yes", None, "m", 1, 1, 0.0)

    async def ask(self, request: Request) -> Answer:
        self.asked += 1
        await self.go.wait()
        return self.answer

    async def estimate(self, request: Request) -> Usage:
        return Usage(1)

    async def aclose(self) -> None: ...


class Meanwhile(ScriptedModel):
    """Answers after something else has happened."""

    def __init__(
        self,
        happen: Callable[[Request], Coroutine[None, None, None]],
        script: Callable[[Request], str | SubLLMError] = upper,
    ) -> None:
        super().__init__(script)
        self._happen = happen
        self.asked: list[str] = []

    async def ask(self, request: Request) -> Answer:
        self.asked.append(request.prompt.text)
        # Another caller's, who knows nothing of the map.
        other = asyncio.create_task(self._happen(request), context=contextvars.Context())
        await other
        return await super().ask(request)


def said(result: Answer | SubLLMError) -> str:
    assert isinstance(result, Answer)
    return f"{result.text} cached" if result.cached else result.text


Open = Callable[[SubModel], tuple[SubModel, Account]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the home as another server does, and gives the model of one account."""
    stores: list[Store] = []
    servers: list[Calls] = []

    def open_home(source: SubModel) -> tuple[SubModel, Account]:
        store = Store(tmp_path)
        calls = Calls(source, "m", store.answers, cache_mb=1)
        stores.append(store)
        servers.append(calls)
        account = Account("test", Budget())
        return calls.model(account), account

    yield open_home
    for calls in servers:
        await calls.aclose()
    for store in stores:
        store.close()


VARIANTS = [
    Request(Prompt("a")),
    Request(Prompt("b")),
    Request(Prompt("a"), model="other"),
    Request(Prompt("a"), max_tokens=5),
    Request(Prompt("a"), schema={"type": "object"}),
    Request(Prompt("a", system="s")),
    Request(Prompt("a", history=(Turn("user", "h"),))),
    Request(Prompt("a", history=(Turn("assistant", "h"),))),
    Request(Prompt("a", attachments=(Attachment("image/png", b"1"),))),
    Request(Prompt("a", attachments=(Attachment("image/png", b"2"),))),
    Request(Prompt("a", attachments=(Attachment("image/gif", b"1"),))),
]


async def test_only_the_same_question_has_the_same_answer_in_any_server(opened: Open) -> None:
    first = ScriptedModel(upper)
    model, account = opened(first)
    asked = [await model.ask(request) for request in VARIANTS]
    assert len(first.requests) == len(VARIANTS)
    second = ScriptedModel(lambda request: "never")
    other, payer = opened(second)
    again = [await other.ask(request) for request in VARIANTS]
    assert second.requests == []
    assert [found.text for found in again] == [found.text for found in asked]
    assert again[4].data == {"n": 1}
    assert all(found.cached for found in again)
    spent = await payer.spent()
    assert (spent.calls, spent.cached, spent.tokens) == (0, len(VARIANTS), 0)
    assert (await account.spent()).calls == len(VARIANTS)
    # What names the question says how long to wait and how it is written, but neither is part.
    schema = {"type": "object", "properties": {}}
    turned = {"properties": {}, "type": "object"}
    await model.ask(Request(Prompt("a"), schema=schema))
    assert (await model.ask(Request(Prompt("a"), schema=turned, timeout_s=1))).cached
    assert (await model.ask(Request(Prompt("a"), model="m"))).cached


async def test_the_same_name_at_another_address_is_another_model(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ScriptedModel(upper)
    model, _ = opened(source)
    for address in ("http://one/v1", "http://two/v1", "http://one/v1"):
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        await model.ask(Request(Prompt("a"), model="openai/local"))
    assert len(source.requests) == 2


async def test_fresh_asks_again_and_replaces_the_answer(opened: Open) -> None:
    source = ScriptedModel(["one", "two"])
    model, _ = opened(source)
    await model.ask(Request(Prompt("a")))
    assert (await model.ask(Request(Prompt("a"), fresh=True))).text == "two"
    assert (await model.ask(Request(Prompt("a")))).text == "two"


async def test_an_error_or_an_answer_cut_off_unasked_is_not_kept(opened: Open) -> None:
    slow = Slow()
    slow.go.set()
    slow.answer = Answer("ye", None, "m", truncated=True)
    model, _ = opened(slow)
    for _ in range(2):
        await model.ask(Request(Prompt("a")))
        await model.ask(Request(Prompt("a"), max_tokens=1))
    assert slow.asked == 3
    failing, _ = opened(ScriptedModel([SubLLMError("no", kind="refused"), "yes"]))
    with pytest.raises(SubLLMError):
        await failing.ask(Request(Prompt("b")))
    assert (await failing.ask(Request(Prompt("b")))).text == "yes"


async def test_the_same_question_at_the_same_time_is_asked_once_but_not_a_fresh_one(
    opened: Open,
) -> None:
    slow = Slow()
    model, account = opened(slow)
    requests = [Request(Prompt("a"))] * 20 + [Request(Prompt("a"), fresh=True)] * 2
    results: list[Answer | SubLLMError] = []

    async def run() -> None:
        results.extend(await ask_all(model, requests, concurrency=30))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        with anyio.fail_after(10):
            while slow.asked < 3:
                await anyio.lowlevel.checkpoint()
        slow.go.set()
    assert slow.asked == 3
    assert {found.text for found in results if isinstance(found, Answer)} == {"yes"}
    spent = await account.spent()
    assert (spent.calls, spent.cached) == (3, 19)


async def test_when_the_one_that_asks_is_cancelled_another_takes_over(opened: Open) -> None:
    slow = Slow()
    model, _ = opened(slow)
    answers: list[Answer] = []

    async def follow() -> None:
        answers.append(await model.ask(Request(Prompt("a"))))

    async with anyio.create_task_group() as followers:
        async with anyio.create_task_group() as leader:
            leader.start_soon(model.ask, Request(Prompt("a")))
            while slow.asked < 1:
                await anyio.lowlevel.checkpoint()
            followers.start_soon(follow)
            await anyio.lowlevel.checkpoint()
            leader.cancel_scope.cancel()
        slow.go.set()
    assert [found.text for found in answers] == ["yes"]
    assert slow.asked == 2


async def test_an_error_reaches_all_that_ask_the_same_and_is_paid_once(opened: Open) -> None:
    async def later(_request: Request) -> None:
        await asyncio.sleep(0)

    error = SubLLMError("no", kind="refused", input_tokens=5)
    model, account = opened(Meanwhile(later, lambda request: error))
    results = await ask_all(model, [Request(Prompt("a"))] * 3, concurrency=3)
    assert [str(found) for found in results] == ["no"] * 3
    assert [found.calls for found in results] == [1, 0, 0]
    assert (await account.spent()).calls == 1


async def test_a_map_pays_once_for_a_question_that_it_asks_at_different_times(
    opened: Open,
) -> None:
    async def until_a_is_kept(request: Request) -> None:
        if request.prompt.text == "b":
            await model.ask(Request(Prompt("a")))

    source = Meanwhile(until_a_is_kept)
    model, _ = opened(source)
    results = await ask_all(model, [Request(Prompt(text)) for text in "aba"], concurrency=1)
    assert [said(found) for found in results] == ["A", "B", "A cached"]
    assert source.asked == ["a", "b"]


async def test_a_map_finds_what_another_call_paid_for_since_it_began(opened: Open) -> None:
    async def ask_b(request: Request) -> None:
        if request.prompt.text == "a":
            await model.ask(Request(Prompt("b")))

    source = Meanwhile(ask_b)
    model, _ = opened(source)
    results = await ask_all(model, [Request(Prompt(text)) for text in "ab"], concurrency=1)
    assert [said(found) for found in results] == ["A", "B cached"]
    assert source.asked == ["a", "b"]


async def test_what_is_answered_while_the_rest_of_a_map_is_looked_for_is_paid_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    find, write = Answers.find, Answers.write

    def found_before(answers: Answers, keys: Iterable[str]) -> dict[str, KeptAnswer]:
        keys = list(keys)
        found = find(answers, keys)
        assert len(keys) > 2 or written.wait(30)
        return found

    def write_and_tell(answers: Answers, kept: Sequence[KeptAnswer], *rest: Any) -> None:
        write(answers, kept, *rest)
        if kept:
            written.set()

    monkeypatch.setattr(Answers, "find", found_before)
    monkeypatch.setattr(Answers, "write", write_and_tell)
    store = Store(tmp_path)
    source = ScriptedModel(upper)
    calls = Calls(source, "m", store.answers)
    texts = [*map(str, range(128)), "another", "0"]  # as many as are looked for first, and two
    results = await ask_all(
        calls.model(Account("test")), [Request(Prompt(text)) for text in texts], concurrency=1
    )
    assert [said(found) for found in results] == [*map(str, range(128)), "ANOTHER", "0 cached"]
    assert len(source.requests) == 129
    await calls.aclose()
    store.close()


async def test_a_fresh_question_of_a_map_is_asked_although_it_is_known(opened: Open) -> None:
    source = ScriptedModel(upper)
    model, _ = opened(source)
    await model.ask(Request(Prompt("a")))
    requests = [Request(Prompt("a"), fresh=True), Request(Prompt("a"))]
    fresh, known = await ask_all(model, requests, concurrency=1)
    assert [said(fresh), said(known)] == ["A", "A cached"]


async def test_the_answers_that_were_not_used_longest_leave(opened: Open) -> None:
    source = ScriptedModel(lambda request: request.prompt.text * 1000)
    model, _ = opened(source)
    for number in range(12):  # of 100 kB each, where 1 MB is the bound
        await model.ask(Request(Prompt(f"{number:0100}")))
    assert (await model.ask(Request(Prompt(f"{11:0100}")))).cached
    assert not (await model.ask(Request(Prompt(f"{0:0100}")))).cached


async def test_a_dry_run_knows_what_would_not_be_asked(opened: Open) -> None:
    model, _ = opened(ScriptedModel(upper))
    await model.ask(Request(Prompt("a")))
    assert await model.estimate(Request(Prompt("a"))) == Usage(cached=1)
    assert (await model.estimate(Request(Prompt("a"), fresh=True))).calls == 1
    assert (await model.estimate(Request(Prompt("b")))).calls == 1


async def test_a_store_in_trouble_costs_no_answer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    calls = Calls(ScriptedModel(upper), "m", store.answers)
    account = calls.open_account("main", Budget())
    model = calls.model(account)
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute("DROP TABLE answers")
        connection.execute("DROP TABLE spending")
    with anyio.fail_after(30):
        requests = [Request(Prompt(letter)) for letter in "abcabc"]
        results = await ask_all(model, requests, concurrency=2)
        assert [found.text for found in results if isinstance(found, Answer)] == list("ABCABC")
        assert "no such table" in calls.trouble
        # The same question is not asked twice while its answer is being written.
        spent = await account.spent()
        assert (spent.calls + spent.cached, spent.failed) == (6, 0)
        assert spent.calls >= 3
        # A budget that cannot be kept is another matter.
        bounded = calls.model(calls.open_account("main", Budget(calls=5)))
        with pytest.raises(SubLLMError, match="what space main has spent cannot be read"):
            await bounded.ask(Request(Prompt("d")))
        await calls.aclose()
    store.close()


async def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    calls = Calls(ScriptedModel(upper), "m", store.answers)
    model = calls.model(Account("test"))
    await model.ask(Request(Prompt("a")))
    with sqlite3.connect(tmp_path / "store.sqlite") as connection:
        connection.execute("UPDATE answers SET answer = ?", (b"[1",))
    assert not (await model.ask(Request(Prompt("a")))).cached
    assert (await model.ask(Request(Prompt("a")))).cached
    await calls.aclose()
    store.close()
