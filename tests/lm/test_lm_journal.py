"""What was paid for, where the store cannot be written: kept meanwhile, and written when it can."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from rlm_mcp.errors import StoreError, SubLLMError
from rlm_mcp.lm import Account, Budget, Calls, InFlight, Prompt, Request, ScriptedModel, ask_all
from rlm_mcp.store import Answers, KeptAnswer, Spending, Store

pytestmark = pytest.mark.anyio


def upper(request: Request) -> str:
    return request.prompt.text.upper()


class Disk(Answers):
    """The answers of a store whose disk is full when a test says so.

    Args:
        answers: of the store.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.room = True
        self.room_for_spending = False
        self.tries = 0

    def find(self, keys: object) -> dict[str, KeptAnswer]:
        return self._answers.find(keys)  # type: ignore[arg-type]

    def spent(self, space: str) -> Spending:
        return self._answers.spent(space)

    def write(
        self,
        answers: Sequence[KeptAnswer],
        touched: Sequence[str],
        spent: Mapping[str, Spending],
        limit: int,
    ) -> None:
        self.tries += 1
        if not self.room and (answers or not self.room_for_spending):
            raise StoreError("the disk is full")
        self._answers.write(answers, touched, spent, limit)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path)
    with sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None) as connection:
        # What spends has to be there.
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("INSERT INTO spaces (handle, created, used, head) VALUES ('s', 0, 0, 1)")
    connection.close()
    yield store
    store.close()


def asking(text: str) -> Request:
    return Request(Prompt(text))


async def test_answers_that_come_while_the_disk_is_full_are_known_and_written_later(
    store: Store,
) -> None:
    disk, source = Disk(store.answers), ScriptedModel(upper)
    calls = Calls(source, "m", disk)
    account = calls.open_account("s", Budget())
    model = calls.model(account)
    disk.room = False
    await ask_all(model, [asking(letter) for letter in "abc"], concurrency=3)
    assert "full" in calls.trouble
    again = await ask_all(model, [asking(letter) for letter in "cab"], concurrency=2)
    alone = await model.ask(asking("a"))
    assert [getattr(found, "cached", None) for found in (*again, alone)] == [True] * 4
    assert (await model.ask(Request(Prompt("a"), fresh=True))).text == "A"
    assert len(source.requests) == 4
    disk.room = True
    await calls.aclose()
    assert calls.trouble == ""
    later = Calls(ScriptedModel([]), "m", store.answers)
    found = await ask_all(
        later.model(later.open_account("s", Budget())), [asking("a"), asking("c")], concurrency=2
    )
    assert [getattr(answer, "text", None) for answer in found] == ["A", "C"]
    assert store.answers.spent("s").calls == 4
    await later.aclose()


async def test_they_are_written_as_soon_as_there_is_room_though_nothing_more_is_asked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._journal.RETRY_S", 0.001)
    disk = Disk(store.answers)
    calls = Calls(ScriptedModel(upper), "m", disk)
    disk.room = False
    await calls.model(calls.open_account("s", Budget())).ask(asking("a"))
    assert calls.trouble
    disk.room = True
    with anyio.fail_after(30):
        while calls.trouble:
            await anyio.lowlevel.checkpoint()
    assert store.answers.size() > 0
    await calls.aclose()


async def test_while_the_disk_is_full_not_every_answer_makes_another_try(store: Store) -> None:
    disk = Disk(store.answers)
    calls = Calls(ScriptedModel(upper), "m", disk)
    model = calls.model(calls.open_account("s", Budget()))
    disk.room = False
    await model.ask(asking("first"))
    tries = disk.tries
    await ask_all(model, [asking(str(number)) for number in range(200)], concurrency=1)
    assert disk.tries - tries < 20  # there is one every few seconds
    disk.room = True
    await calls.aclose()
    assert store.answers.spent("s").calls == 201


async def test_what_was_spent_is_written_where_the_answers_do_not_fit(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._journal.CLOSE_S", 0.0)
    disk = Disk(store.answers)
    calls = Calls(ScriptedModel(upper), "m", disk)
    model = calls.model(calls.open_account("s", Budget()))
    disk.room = False
    await ask_all(model, [asking(letter) for letter in "abc"], concurrency=3)
    disk.room_for_spending = True
    await calls.aclose()
    assert store.answers.spent("s").calls == 3


async def test_a_budget_knows_of_what_could_not_be_written(store: Store) -> None:
    disk = Disk(store.answers)
    calls = Calls(ScriptedModel(upper), "m", disk)
    disk.room = False
    first = calls.open_account("s", Budget(calls=3))
    await ask_all(calls.model(first), [asking("a"), asking("b")], concurrency=2)
    await first.end()
    # The space is opened again.
    account = calls.open_account("s", Budget(calls=3))
    assert (await account.spent()).calls == 2
    await calls.model(account).ask(asking("c"))
    with pytest.raises(SubLLMError, match="has made 3 of 3"):
        await calls.model(account).ask(asking("d"))
    disk.room = True
    await calls.aclose()
    assert store.answers.spent("s").calls == 3


async def test_the_oldest_of_too_many_that_wait_are_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._journal.MAX_WAITING", 20_000)
    disk, source = Disk(store.answers), ScriptedModel(lambda request: request.prompt.text * 1000)
    calls = Calls(source, "m", disk)
    model = calls.model(calls.open_account("s", Budget()))
    disk.room = False
    for number in range(100, 150):
        await model.ask(asking(str(number)))
    assert (await model.ask(asking("149"))).cached
    assert not (await model.ask(asking("100"))).cached
    assert caplog.text.count("too many wait") == 1
    disk.room = True
    await calls.aclose()
    assert 0 < store.answers.size() < 25_000


async def test_a_map_asks_on_while_the_disk_is_slow_and_ends_when_all_is_written(
    store: Store,
) -> None:
    asked = threading.Event()

    class SlowDisk(Disk):
        def write(self, *rows: Any) -> None:
            assert asked.wait(30)
            super().write(*rows)

    def answer(request: Request) -> str:
        if request.prompt.text == "9":
            asked.set()
        return upper(request)

    calls = Calls(ScriptedModel(answer), "m", SlowDisk(store.answers))
    questions = [asking(str(number)) for number in range(10)]
    await ask_all(calls.model(Account("test")), questions, concurrency=1)
    later = Calls(ScriptedModel([]), "m", store.answers)
    known = await ask_all(later.model(Account("test")), questions, concurrency=1)
    assert [getattr(found, "cached", None) for found in known] == [True] * 10
    await calls.aclose()
    await later.aclose()


async def test_a_store_that_another_process_holds_costs_no_answer_twice(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._journal.PATIENCE_S", 0.01)
    source = ScriptedModel(upper)
    calls = Calls(source, "m", store.answers)
    model = calls.model(calls.open_account("s", Budget()))
    await model.ask(asking("before"))
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with anyio.fail_after(20):
            assert (await model.ask(asking("a"))).text == "A"
            # What is there can be read while nothing can be written.
            again = await ask_all(model, [asking("before"), asking("a")], concurrency=2)
            assert [getattr(found, "cached", None) for found in again] == [True, True]
            assert not (await model.ask(asking("b"))).cached
    finally:
        other.execute("ROLLBACK")
        other.close()
    await calls.aclose()
    assert len(source.requests) == 3
    assert store.answers.spent("s").calls == 3


class HeldDisk(Disk):
    """Writes what it is given when the test says so, one after another."""

    def __init__(self, answers: Answers) -> None:
        super().__init__(answers)
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.free = False

    def write(self, *rows: Any) -> None:
        self.begun.release()
        assert self.free or self.go.acquire(timeout=30)
        super().write(*rows)

    async def writing(self) -> None:
        """Until the next write has begun."""
        assert await to_thread.run_sync(self.begun.acquire, True, 30)


async def test_what_a_space_has_spent_is_read_while_another_space_spends_on(store: Store) -> None:
    disk = HeldDisk(store.answers)
    calls = Calls(ScriptedModel(upper), "m", disk)
    busy = calls.model(Account("busy"))
    first = asyncio.create_task(busy.ask(asking("first")))
    await disk.writing()
    other = asyncio.create_task(calls.open_account("s", Budget()).spent())
    await anyio.wait_all_tasks_blocked()
    second = asyncio.create_task(busy.ask(asking("second")))
    await anyio.wait_all_tasks_blocked()
    disk.free = True
    disk.go.release()
    await asyncio.gather(first, second)
    with anyio.fail_after(20):
        while not other.done():
            await busy.ask(Request(Prompt("again"), fresh=True))
    await calls.aclose()


async def test_awaited_answers_are_told_while_another_event_loop_has_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._journal.PATIENCE_S", 1000.0)

    def one(owner: str, **fields: Any) -> dict[str, Any]:
        new = [{"ticket": 1, "request": {"prompt": owner}}]
        return {"owner": owner, "new": new, "cancel": [], "timeout": None, **fields}

    disk = HeldDisk(store.answers)
    calls = Calls(ScriptedModel(upper), "m", disk)
    in_flight = InFlight(calls.model(Account("test")))
    a = asyncio.create_task(in_flight.wait(one("a")))
    await disk.writing()
    b = asyncio.create_task(in_flight.wait(one("b")))
    await anyio.wait_all_tasks_blocked()
    disk.go.release()
    with anyio.fail_after(20):
        assert [told["text"] for told in (await a)["done"]] == ["A"]
    assert not b.done()
    disk.free = True
    disk.go.release()
    assert [told["text"] for told in (await b)["done"]] == ["B"]
    await calls.aclose()
