"""Running code in a space: a turn with limits, and the commit of what it did."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from ..sandbox import Answerer, Clock, LostError
from ._keeper import Keeper
from ._pmap import run_pmap
from ._results import execution_of, label_of, why_lost
from ._turns import Turns
from ._values import Execution

PMAP = "pmap"
_LOST_AGAIN = (
    "the execution before was lost too; if even harmless code is, a value that is kept breaks it: "
    'spaces(action="undo", space="{}") takes back the last execution that is kept'
)


class Executor:
    """Carries out the executions of one space, one at a time.

    Args:
        keeper: commits what they do.
        turns: enters the guest.
    """

    def __init__(self, keeper: Keeper, turns: Turns) -> None:
        self._keeper = keeper
        self._turns = turns
        self._lost = 0
        """How many executions were lost one after another."""

    async def execute(
        self, code: str, seconds: float, keep_chars: int, answer: Answerer, cancel: asyncio.Event
    ) -> Execution:
        """Run code and begin the commit of what it did; arguments as for `Space.execute`."""
        keeper = self._keeper
        guest = await keeper.ready()
        number = keeper.execution + 1
        begin = time.monotonic()
        request = {"op": "exec", "code": code, "number": number, "keep_chars": keep_chars}
        notes = keeper.take_trouble()
        clock = Clock(seconds)
        answer = self._with_pmap(answer, seconds, clock)
        try:
            result = await self._turns.run(guest, request, clock, cancel, answer)
        except LostError as error:
            notes += self._also_lost()
            await keeper.drop()
            took = time.monotonic() - begin
            self._lost += 1
            if self._lost > 1:
                notes += (_LOST_AGAIN.format(keeper.handle),)
            return Execution(number, took, lost=why_lost(error), notes=notes)
        self._lost = 0
        execution = execution_of(result, number, time.monotonic() - begin, notes)
        if execution.stopped and not cancel.is_set():
            execution = replace(execution, stopped="timeout")
        saved = await keeper.save(label_of(code), number)
        return replace(execution, notes=execution.notes + saved, saved=keeper.limits.sync)

    def _with_pmap(self, answer: Answerer, seconds: float, clock: Clock) -> Answerer:
        """Answer `pmap` with forks of the space as the execution finds it."""
        head = self._keeper.head.id

        async def answer_all(fields: dict[str, Any]) -> dict[str, Any]:
            if fields.get("op") != PMAP:
                return await answer(fields)
            in_forks = self._turns.with_views(answer)
            return await run_pmap(
                fields, lambda: self._keeper.read_only(head), in_forks, seconds, clock
            )

        return answer_all

    def _also_lost(self) -> tuple[str, ...]:
        """A note on executions before the one that was lost which could not be saved either."""
        if not self._keeper.unsaved:
            return ()
        return (
            f"what was done since execution {self._keeper.head.execution} had not been saved and "
            "is lost too",
        )
