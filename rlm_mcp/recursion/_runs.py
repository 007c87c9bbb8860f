"""The forks that recursive runs work on: made, bounded in number, given back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import AsyncIterator

from ..errors import RlmError, SpaceError
from ..space import Space, Spaces
from ..store import SpaceRow

AT_ONCE = 4
"""Runs at the same depth that work at the same time, since each needs a worker (a guess)."""
KEPT_OF_SPACE, KEPT = 20, 200
"""Forks of ended runs that are kept, of one space and in all (guesses): the oldest go first."""
_RUN = re.compile(r"\.rlm-[0-9a-f]{8}$")
_MAX_PARENT = 38  # of a handle of 64 characters, so that a run of a run can be named too

_log = logging.getLogger(__name__)


class Runs:
    """The forks of recursive runs of one server.

    Args:
        spaces: of the server.
    """

    def __init__(self, spaces: Spaces) -> None:
        self._spaces = spaces
        self._slots: dict[int, asyncio.Semaphore] = {}
        self._working: set[str] = set()
        self._ending: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def fork(self, parent: str, commit: int | None, depth: int) -> AsyncIterator[Space]:
        """A fork for a run, which waits while too many work; it is kept when the run has ended.

        Args:
            parent: handle of the space.
            commit: of it that the fork begins at; left out, its last.
            depth: of the run in the tree, so that runs do not wait for those that wait for them.

        Raises:
            SpaceError: the space is unknown, or there are too many.
        """
        async with self._slots.setdefault(depth, asyncio.Semaphore(AT_ONCE)):
            await self._remove_old(parent)
            handle = f"{parent[:_MAX_PARENT]}.rlm-{secrets.token_hex(4)}"
            self._working.add(handle)
            try:
                space, _ = await self._spaces.fork(parent, handle, commit)
                await self._spaces.use(handle)
                yield space
            finally:
                # In a task of its own: a run that is cancelled must not wait for its end.
                task = asyncio.create_task(self._give_back(handle))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    async def _give_back(self, handle: str) -> None:
        """Give the worker of a run back, once what it did is saved."""
        try:
            with contextlib.suppress(RlmError):
                space = await self._spaces.use(handle)
                await space.settled()
                await space.unload()
        finally:
            self._working.discard(handle)

    async def _remove_old(self, parent: str) -> None:
        rows = await asyncio.to_thread(self._spaces.store.spaces)
        runs = [row for row in rows if _is_run(row)]
        of_parent = [row for row in runs if row.origin == parent]
        old = {row.handle for row in (*runs[KEPT - 1 :], *of_parent[KEPT_OF_SPACE - 1 :])}
        for row in reversed(runs):
            handle = row.handle
            if handle not in old and row.origin not in old:  # runs of a run go with it
                continue
            if handle in self._working or self._spaces.doing(handle) is not None:
                continue
            if await asyncio.to_thread(self._spaces.store.checkpoints, handle):
                continue  # somebody named a state of it
            try:
                await self._spaces.delete(handle)
            except SpaceError as error:
                _log.info("an old run is kept: %s", error)

    async def close(self) -> None:
        """Wait until what ended is given back; may be called twice."""
        if self._ending:
            await asyncio.wait(self._ending)


def _is_run(row: SpaceRow) -> bool:
    """Whether a space is the fork of a run, and not one that somebody gave such a name."""
    made = _RUN.search(row.handle)
    return bool(made and row.origin and row.handle[: made.start()] == row.origin[:_MAX_PARENT])
