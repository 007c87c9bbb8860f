"""All spaces of a server: which are open, which have a worker, and which gives way."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sandbox_wasm import ARTEFACT, guest_version, locate

from ..errors import BadRequestError, RlmError, SpaceError
from ..sandbox import Preparation
from ..store import Commit, SpaceRow, Store
from ._keeper import Keeper
from ._space import Space
from ._upgrade import guest_id
from ._values import Limits
from ._views import Views

_log = logging.getLogger(__name__)
_HANDLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
TIDY_EVERY = 50
"""Commits of this server after which the store is tidied in the background (a guess)."""


@dataclass(frozen=True)
class SpaceInfo:
    """A space in a list.

    Args:
        row: what the store knows.
        open: whether this server has it open.
        running: whether it has a worker.
        doing: what it is busy with, or `None`.
        suspended: what its code waits for, or `None`.
    """

    row: SpaceRow
    open: bool
    running: bool
    doing: str | None
    suspended: str | None = None


class Spaces:
    """The spaces of one server.

    Args:
        store: where they are kept.
        preparation: offers workers.
        limits: that bound them.
        views: answers what their guests ask about views; without it there are none.
        ending: ends what is done for a space elsewhere, before another server may open it.
    """

    def __init__(
        self,
        store: Store,
        preparation: Preparation,
        limits: Limits,
        views: Views | None = None,
        ending: Callable[[Space], Awaitable[None]] | None = None,
    ) -> None:
        self.store = store
        self.limits = limits
        self._preparation = preparation
        self._views = views
        self._ending = ending
        self._guest_id = guest_id(ARTEFACT.module, guest_version())
        self._open: dict[str, Space] = {}
        self._closed: set[str] = set()
        self._lock = asyncio.Lock()
        self._tidying: asyncio.Task[None] | None = None
        self._uses = 0

    async def use(self, handle: str, *, create: bool = False) -> Space:
        """An open space, ready for calls; others give their workers back if there are too many.

        Args:
            handle: of the space.
            create: whether to open or make it if it is not open.

        Raises:
            SpaceError: it is unknown, closed, or held by another server.
        """
        async with self._lock:
            space = self._open.get(handle)
            if space is None:
                if not create or handle in self._closed:
                    raise SpaceError(self._unknown(handle))
                space = await self._open_space(handle)
        running = sum(other.running for other in self._open.values())
        if not space.running and running >= self.limits.running:
            await self._make_room(space)
        self._uses += 1
        if self._uses % TIDY_EVERY == 0:
            self.tidy_in_background()
        return space

    def _unknown(self, handle: str) -> str:
        exists = self.store.space(handle) is not None
        state = "is closed" if exists else "does not exist"
        known = ", ".join(f"`{name}`" for name in list(self._open)[:10]) or "none"
        return (
            f"space `{handle}` {state}. Open now: {known}. "
            f'Open it with spaces(action="open", space="{handle}") or list all with spaces()'
        )

    async def open(self, handle: str | None) -> tuple[Space, bool]:
        """Open a space, or make it.

        Args:
            handle: of the space; a new one is made up if it is `None`.

        Returns:
            The space, and whether it is new.

        Raises:
            BadRequestError: the handle cannot be one.
            SpaceError: there are too many spaces, or another server holds it.
        """
        handle = check_handle(handle) if handle is not None else new_handle()
        async with self._lock:
            self._closed.discard(handle)
            if handle in self._open:
                return self._open[handle], False
            new = self.store.space(handle) is None
            return await self._open_space(handle), new

    async def _open_space(self, handle: str) -> Space:
        check_handle(handle)
        if await asyncio.to_thread(self.store.space, handle) is None:
            count = len(await asyncio.to_thread(self.store.spaces))
            if count >= self.limits.spaces:
                raise SpaceError(
                    f"there are {count} spaces already, and the limit is {self.limits.spaces}; "
                    'delete some with spaces(action="delete", space=...)'
                )
            image, _ = await self._preparation.wait()
            files = locate()
            await asyncio.to_thread(
                self.store.keep_artefact, ARTEFACT.module, [files.module, files.library]
            )
            await asyncio.to_thread(
                self.store.create,
                handle, image.path, image.digest, image.size, image.stop, self._guest_id,
                image.identity,
            )  # fmt: skip
        writer = await asyncio.to_thread(self.store.hold, handle)
        keeper = Keeper(handle, self.store, writer, self._preparation, self.limits, self._guest_id)
        space = Space(keeper, self._views, self._ending)
        self._open[handle] = space
        return space

    async def _make_room(self, wanted: Space) -> None:
        idle = sorted(
            (space for space in self._open.values() if space.running and space is not wanted),
            key=lambda space: space.last_used,
        )
        for space in idle:
            if await space.unload():
                return
        # All are busy: one more for the time being is better than a call that never begins.

    async def close(self, handle: str) -> None:
        """Close a space; what it holds stays in the store.

        Raises:
            SpaceError: it is not open.
        """
        async with self._lock:
            space = self._open.pop(handle, None)
            if space is None:
                raise SpaceError(self._unknown(handle))
            self._closed.add(handle)
            await space.close()

    async def delete(self, handle: str) -> None:
        """Remove a space for good.

        Raises:
            SpaceError: there is none, or another server holds it.
        """
        async with self._lock:
            if self.store.space(handle) is None:
                raise SpaceError(self._unknown(handle))
            space = self._open.pop(handle, None)
            if space is not None:
                await space.close()
            await asyncio.to_thread(self.store.delete, handle)
        self.tidy_in_background()

    async def fork(
        self, handle: str, new: str | None = None, commit: int | None = None
    ) -> tuple[Space, Commit]:
        """Make a space that begins where another is; both go on independently.

        Args:
            handle: of the other space, which another server may hold.
            new: handle of the fork.
            commit: of the other space, if not its last.

        Raises:
            SpaceError: the other space is unknown, or the new handle is taken.
        """
        new = check_handle(new) if new is not None else new_handle()
        source = self._open.get(handle)
        if source is not None and source.doing is None and source.suspension is None:
            await source.settled()
        if self.store.space(handle) is None:
            raise SpaceError(self._unknown(handle))
        found = await asyncio.to_thread(self.store.fork, handle, new, commit)
        space, _ = await self.open(new)
        return space, found

    def find(self, handle: str) -> Space | None:
        """A space if it is open."""
        return self._open.get(handle)

    def doing(self, handle: str) -> str | None:
        """What a space is busy with, or `None`."""
        space = self._open.get(handle)
        return space.doing if space is not None else None

    def list(self) -> list[SpaceInfo]:
        """All spaces of the store, the last used first."""
        found = []
        for row in self.store.spaces():
            space = self._open.get(row.handle)
            if space is None:
                found.append(SpaceInfo(row, False, False, None))
                continue
            suspended = space.suspension.brief() if space.suspension else None
            found.append(SpaceInfo(row, True, space.running, space.doing, suspended))
        return found

    def info(self, handle: str) -> SpaceInfo:
        """One space.

        Raises:
            SpaceError: it is unknown.
        """
        for found in self.list():
            if found.row.handle == handle:
                return found
        raise SpaceError(self._unknown(handle))

    def tidy_in_background(self) -> None:
        """Bring the store within its budget, if that is not being done already."""
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._tidy())

    async def _tidy(self) -> None:
        try:
            await asyncio.to_thread(
                self.store.tidy, entries=self.limits.history, size=self.limits.history_mb << 20
            )
        except RlmError as error:
            _log.warning("the store could not be tidied: %s", error)

    async def close_all(self) -> None:
        """Close every space, in order, and the store; may be called twice."""
        async with self._lock:
            spaces, self._open = list(self._open.values()), {}
            await asyncio.gather(*(space.close() for space in spaces))
        if self._views is not None:
            await self._views.close()
        if self._tidying is not None:
            await asyncio.wait([self._tidying])
        await asyncio.to_thread(self.store.close)


def check_handle(handle: str) -> str:
    """A handle, if it can be one.

    Raises:
        BadRequestError: it cannot.
    """
    if not _HANDLE.fullmatch(handle):
        raise BadRequestError(
            f"{handle[:80]!r} cannot be the name of a space: use 1 to 64 letters, digits, "
            "`_`, `-` or `.`, beginning with a letter or a digit"
        )
    return handle


def new_handle() -> str:
    """A handle that nobody has."""
    return f"s-{secrets.token_hex(4)}"
