"""The turns of a space's guest, by what they leave behind."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ..errors import BadRequestError, SandboxError
from ..sandbox import (
    Answerer,
    Clock,
    Guest,
    LostError,
    WorkerDiedError,
    refuse_calls,
    text_of,
)
from ._keeper import Keeper
from ._results import KEPT, texts_of, why_lost
from ._values import WAITS, Loaded
from ._views import VIEW_OPERATIONS, Views

QUICK_SECONDS = 30.0
"""For turns that run none of the agent's code on purpose: previews, peeks, lists of variables."""
LOAD_SECONDS = 600.0

_COMMITTED = ("exec", "load", "view", "ask", "begin")


class Turns:
    """Enters the guest of one space. Used by one operation at a time, but for `look_back`.

    Args:
        keeper: holds the guest.
        views: answers what guests ask about views; without it there are none.
    """

    def __init__(self, keeper: Keeper, views: Views | None) -> None:
        self._keeper = keeper
        self._views = views

    async def look(
        self, request: dict[str, Any], cancel: asyncio.Event, target: int | None = None
    ) -> dict[str, Any]:
        """A turn after which the space is as it was.

        Args:
            request: for `rlm_guest._loop`.
            cancel: when set, it is given up.
            target: descriptor that the guest writes to, which may take as long as loading.

        Raises:
            BadRequestError: the guest refused.
            RlmError: the space cannot run anything now.
        """
        guest = await self._keeper.ready()
        seconds = QUICK_SECONDS if target is None else LOAD_SECONDS
        result = await self._whole(guest, request, seconds, cancel, target=target)
        await self._keeper.back()
        return result

    async def look_back(
        self, *requests: dict[str, Any], source: int | None = None
    ) -> dict[str, Any]:
        """Turns on a copy of the last commit, of which nothing is kept, whatever the space does.

        Args:
            requests: for `rlm_guest._loop`, one after another.
            source: descriptor of what they load.

        Returns:
            What the last of them came to.

        Raises:
            BadRequestError: the guest refused one.
            RlmError: the copy cannot run.
        """
        result: dict[str, Any] = {}
        guest = await self._keeper.copy()
        try:
            for request in requests:
                result = await guest.turn(
                    request,
                    seconds=QUICK_SECONDS,
                    answer=self.with_views(refuse_calls),
                    source=source,
                )
                if "refused" in result:
                    raise BadRequestError(text_of(result["refused"], KEPT))
        except (LostError, WorkerDiedError) as error:
            raise SandboxError("the variable cannot be shown") from error
        finally:
            await guest.close()
        return result

    async def set(
        self,
        label: str,
        request: dict[str, Any],
        cancel: asyncio.Event,
        *,
        answer: Answerer = refuse_calls,
        source: int | None = None,
    ) -> Loaded:
        """A turn that sets a variable and is committed, or leaves nothing behind.

        Args:
            label: of the commit.
            request: for `rlm_guest._loop`.
            cancel: when set, it is given up.
            answer: answers what the guest asks meanwhile.
            source: descriptor of what it loads.

        Raises:
            BadRequestError: the guest refused.
            RlmError: the space cannot run anything now.
        """
        keeper = self._keeper
        guest = await keeper.ready()
        begin = time.monotonic()
        notes = keeper.take_trouble()
        result = await self._whole(guest, request, LOAD_SECONDS, cancel, answer, source)
        saved = await keeper.save(label, keeper.execution)
        found = (*notes, *texts_of(result.get("notes")), *saved)
        return Loaded(text_of(result.get("preview"), KEPT), found, time.monotonic() - begin)

    async def run(
        self,
        guest: Guest,
        request: dict[str, Any],
        seconds: float | Clock,
        cancel: asyncio.Event,
        answer: Answerer = refuse_calls,
        source: int | None = None,
        target: int | None = None,
    ) -> dict[str, Any]:
        """A turn, of which it is the caller's to keep or take back what it did.

        Args:
            guest: that is ready.
            request: for `rlm_guest._loop`.
            seconds: that it may take, or the clock that says so.
            cancel: when set, it is stopped.
            answer: answers what the guest asks meanwhile.
            source: descriptor that the guest may read from.
            target: descriptor that the guest may write to.

        Raises:
            LostError: nothing of it remains.
            WorkerDiedError: nor does the worker.
        """
        result = await guest.turn(
            {**request, "reseed": self._keeper.reseed},
            seconds=seconds,
            cancel=cancel,
            answer=self.with_views(answer),
            waits=WAITS,
            source=source,
            target=target,
            check=request["op"] in _COMMITTED,
        )
        self._keeper.reseed = False
        return result

    def with_views(self, answer: Answerer) -> Answerer:
        """Answer what guests ask about views, whatever the turn is for."""
        views = self._views

        async def answer_all(fields: dict[str, Any]) -> dict[str, Any]:
            if views is not None and fields.get("op") in VIEW_OPERATIONS:
                return await views.answer(fields)
            return await answer(fields)

        return answer_all

    async def _whole(
        self,
        guest: Guest,
        request: dict[str, Any],
        seconds: float,
        cancel: asyncio.Event,
        answer: Answerer = refuse_calls,
        source: int | None = None,
        target: int | None = None,
    ) -> dict[str, Any]:
        """A turn that either works or leaves nothing behind."""
        try:
            result = await self.run(guest, request, seconds, cancel, answer, source, target)
        except LostError as error:
            await self._keeper.drop()
            raise SandboxError(
                f"{why_lost(error)}. The space is back at its last commit"
            ) from error
        if "refused" in result:
            await self._keeper.back()
            raise BadRequestError(text_of(result["refused"], KEPT))
        return result
