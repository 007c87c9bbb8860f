"""Calls that code awaits, as the server keeps them between two messages of the guest."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from anyio import wait_all_tasks_blocked

from rlm_mcp.errors import BadRequestError, SubLLMError
from rlm_mcp.lm import (
    Account,
    Answer,
    BatchProgress,
    CallLimits,
    Calls,
    InFlight,
    Request,
    Usage,
)
from rlm_mcp.store import Store

pytestmark = pytest.mark.anyio


class Gated:
    """Answers a prompt when its gate is opened."""

    def __init__(self) -> None:
        self.gates: dict[str, asyncio.Event] = {}
        self.cancelled: list[str] = []

    def open(self, *prompts: str) -> None:
        for prompt in prompts:
            self.gates.setdefault(prompt, asyncio.Event()).set()

    async def ask(self, request: Request) -> Answer:
        text = request.prompt.text
        try:
            await self.gates.setdefault(text, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(text)
            raise
        if text == "bad":
            raise SubLLMError("no", kind="refused", input_tokens=3, output_tokens=2, usd=0.5)
        return Answer(text.upper(), input_tokens=1, output_tokens=1, usd=0.25)

    async def estimate(self, request: Request) -> Usage:
        return Usage.guess(request)

    async def aclose(self) -> None: ...


def message(*prompts: str, first: int = 0, **fields: Any) -> dict[str, Any]:
    new = [
        {"ticket": first + number, "request": {"prompt": prompt}}
        for number, prompt in enumerate(prompts)
    ]
    return {"owner": "a", "new": new, "cancel": [], "timeout": None, **fields}


async def done(calls: InFlight, fields: dict[str, Any]) -> dict[int, Any]:
    found = (await calls.wait(fields))["done"]
    return {one["ticket"]: one.get("text") or one["error"]["message"] for one in found}


async def test_a_message_waits_for_the_first_answers_and_others_bring_the_rest() -> None:
    model = Gated()
    calls = InFlight(model)
    model.open("b", "bad")
    assert await done(calls, message("a", "b", "bad", " ", timeout=0)) == {
        3: "the prompt is empty: say in words what is asked"
    }
    assert await done(calls, message()) == {1: "B", 2: "no"}
    model.open("a")
    assert await done(calls, message()) == {0: "A"}
    assert await done(calls, message()) == {}
    assert calls.usage == Usage(3, 1, 5, 4, 1.0)


async def test_event_loops_that_use_the_same_tickets_are_kept_apart() -> None:
    model = Gated()
    calls = InFlight(model)
    model.open("x", "y")
    both = await asyncio.gather(
        done(calls, message("x", owner="a")), done(calls, message("y", owner="b"))
    )
    assert list(both) == [{0: "X"}, {0: "Y"}]


async def test_what_is_cancelled_is_never_told_of_and_its_ticket_is_free() -> None:
    model = Gated()
    calls = InFlight(model)
    await calls.wait(message("a", "b", timeout=0.001))
    model.open("b")
    assert await done(calls, message(cancel=[0, 7])) == {1: "B"}
    assert model.cancelled == ["a"]
    model.open("c")
    assert await done(calls, message("c")) == {0: "C"}
    assert calls.usage.calls == 3


async def test_what_is_cancelled_before_it_is_asked_is_not_held(tmp_path: Path) -> None:
    store = Store(tmp_path)
    known = Calls(Gated(), "m", store.answers)
    calls = InFlight(known.model(Account("test")), None, CallLimits(max_in_flight=1))
    await calls.wait(message("a", timeout=0.001))
    for number in range(1, 20):
        cancel = [number - 1] if number > 1 else []
        await calls.wait(message("given up", first=number, cancel=cancel, timeout=0))
    await calls.wait(message(cancel=[19], timeout=0))
    held = [one for one in gc.get_objects() if isinstance(one, Request)]
    assert "given up" not in [one.prompt.text for one in held]
    calls.close()
    await known.aclose()
    store.close()


async def test_the_end_of_the_execution_ends_its_calls_and_begins_no_more() -> None:
    model = Gated()
    calls = InFlight(model)
    waiting = asyncio.create_task(calls.wait(message("a", "b")))
    await wait_all_tasks_blocked()
    assert calls.usage == Usage(2, 2, usd=None)
    calls.close()
    calls.close()
    assert await waiting == {"done": []}
    assert sorted(model.cancelled) == ["a", "b"]
    assert calls.usage == Usage(2, 2, usd=None)
    with pytest.raises(BadRequestError, match="the execution has ended"):
        await calls.wait(message("c"))


async def test_progress_counts_what_is_still_wanted() -> None:
    model = Gated()
    told: list[BatchProgress] = []

    async def tell(progress: BatchProgress) -> None:
        told.append(progress)

    calls = InFlight(model, tell)
    await calls.wait(message("a", "b", "c", timeout=0.001))
    await calls.wait(message(cancel=[0], timeout=0.001))
    model.open("b", "bad")
    await calls.wait(message())
    await calls.wait(message("bad", first=5))
    assert [(one.done, one.total, one.failed) for one in told] == [(1, 2, 1), (2, 3, 2)]


async def test_no_more_are_asked_at_once_nor_kept_than_the_limits_say() -> None:
    model = Gated()
    limits = CallLimits(max_requests=4, max_in_flight=2, max_waiting_bytes=5_000)
    calls = InFlight(model, limits=limits)
    await calls.wait(message("a", "b", "c", timeout=0.001))
    assert sorted(model.gates) == ["a", "b"]
    refused = await done(calls, message("d" * 3_000, "e", "f", first=3, timeout=0))
    assert [number for number, text in refused.items() if "at most 4 calls" in text] == [3, 5]
    model.open("a", "b", "c", "e")
    found: dict[int, Any] = {}
    while len(found) < 4:
        found |= await done(calls, message())
    assert found == {0: "A", 1: "B", 2: "C", 4: "E"}


async def test_a_large_answer_comes_alone_and_none_is_lost() -> None:
    model = Gated()
    calls = InFlight(model)
    prompts = [letter * 3_000_000 for letter in "abc"]
    model.open(*prompts)
    sizes = [len(await done(calls, message(*prompts)))]
    while found := await done(calls, message()):
        sizes.append(len(found))
    assert sizes == [1, 1, 1]


@pytest.mark.parametrize(
    "fields",
    [
        message(owner=""),
        message(owner="x" * 65),
        message(timeout=-1),
        message(timeout=float("inf")),
        message(cancel=["0"]),
        message("a", "b", first=-1),
        {**message(), "more": 1},
        {**message(), "new": [{"ticket": 0}]},
        {**message(), "new": [{"ticket": True, "request": {"prompt": "a"}}]},
        {**message(), "new": message("a")["new"] * 2},
    ],
    ids=lambda fields: repr(fields)[:60],
)
async def test_a_message_that_is_wrong_begins_nothing(fields: dict[str, Any]) -> None:
    model = Gated()
    calls = InFlight(model)
    with pytest.raises(BadRequestError):
        await calls.wait(fields)
    assert await calls.wait(message()) == {"done": []}
    assert model.gates == {}
