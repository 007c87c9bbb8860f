"""The memory of a space: mapped when it is needed, committed after each change."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable

from sandbox_wasm import bootstrap_request, bootstrap_source

from ..errors import RlmError, SandboxError, SpaceError, StoreError
from ..sandbox import Guest, Preparation, State, StopPoint, WorkerDiedError
from ..store import Commit, Opened, SpaceRow, Store, Writer, faults
from ._upgrade import export_variables, import_variables, module_of
from ._values import Limits


class Keeper:
    """Holds the guest of one space and saves what it does. Used by one operation at a time.

    Args:
        handle: of the space.
        store: where it is kept.
        writer: the right to commit to it.
        preparation: offers workers.
        limits: that bound it.
        guest_id: names the code that this server puts into guests.
    """

    def __init__(
        self,
        handle: str,
        store: Store,
        writer: Writer,
        preparation: Preparation,
        limits: Limits,
        guest_id: str,
    ) -> None:
        self.handle = handle
        self.limits = limits
        self.reseed = False
        """Whether the guest still has the random numbers of the memory that it began as."""
        self.unsaved = False
        """Whether the guest has done something that is in no commit."""
        self.guest: Guest | None = None
        self._store = store
        self._writer = writer
        self._preparation = preparation
        self._guest_id = guest_id
        self._files: list[int] = []
        self._head: Commit | None = None
        self._unsaved_executions = 0
        self._committing: asyncio.Task[None] | None = None
        self._trouble: list[str] = []

    @property
    def head(self) -> Commit:
        """The last commit; known once the guest was ready."""
        assert self._head is not None
        return self._head

    @property
    def execution(self) -> int:
        """How many executions led to the present state."""
        return self.head.execution + self._unsaved_executions

    def take_trouble(self) -> tuple[str, ...]:
        """What the caller should know of what went wrong since the last call."""
        taken, self._trouble = tuple(self._trouble), []
        return taken

    async def ready(self) -> Guest:
        """The guest, with everything before it saved, as far as that is possible.

        Raises:
            RlmError: the space cannot be opened.
        """
        await self.settle()
        if self.guest is not None and self.guest.alive:
            if self.unsaved:
                await self.save("retry", self.execution)
                await self.settle()
            return self.guest
        if self.guest is not None:
            await self.drop()
            self._trouble.append(
                "the sandbox process died since the last call; the space is at its last commit"
            )
        row = self._store.space(self.handle)
        if row is None:
            raise SpaceError(f"space `{self.handle}` was deleted")
        _, pool = await self._preparation.wait()
        if module_of(row.head.guest) != module_of(self._guest_id):
            return await self._carry_over(row)
        guest = Guest(await pool.take(), self.limits.memory_mb << 20)
        try:
            opened = await self._map(guest, row.head.id)
            self._head, self._files = opened.commit, opened.files
            self.reseed = row.fresh
            if opened.damage:
                await asyncio.to_thread(self._store.move_head, self.handle, self._head.id)
                self._trouble.append(
                    f"the store is damaged ({opened.damage}); the space is at commit "
                    f"{self._head.id}, the newest that can be read (execution "
                    f"{self._head.execution})"
                )
            if self._head.guest != self._guest_id:
                stop = await guest.install(bootstrap_source(), bootstrap_request(libraries=False))
                await self._commit(guest, "upgrade", self._head.execution, stop)
        except BaseException:
            await guest.close()
            raise
        self.guest = guest
        self.unsaved = False
        return guest

    async def read_only(self, commit: int) -> Guest:
        """Another guest at a commit of this space, of which nothing is ever saved.

        The caller closes it.

        Raises:
            StoreError: the commit cannot be read.
        """
        _, pool = await self._preparation.wait()
        guest = Guest(await pool.take(), self.limits.memory_mb << 20)
        try:
            opened = await self._map(guest, commit)
        except BaseException:
            await guest.close()
            raise
        if opened.damage:
            await guest.close()
            raise StoreError(f"commit {commit} cannot be read: {opened.damage}")
        return guest

    async def copy(self) -> Guest:
        """As `read_only`, at the last commit, whatever the guest is doing."""
        row = self._store.space(self.handle)
        assert row is not None
        return await self.read_only(row.head.id)

    async def back(self) -> None:
        """Take back what a turn did that is not to be kept."""
        if self.guest is not None and not self.unsaved:
            await self._guarded(self.guest.discard())

    async def move_to(self, commit: int) -> Commit:
        """Make another commit of the space its present state.

        Raises:
            SpaceError: the commit is not one of this space, or is no longer kept.
        """
        await self.settle()
        await asyncio.to_thread(self._store.commit_of_space, self.handle, commit)
        found = await asyncio.to_thread(self._store.move_head, self.handle, commit)
        await self.drop()
        self.unsaved = False
        return found

    async def save(self, label: str, execution: int) -> tuple[str, ...]:
        """Begin the commit of what the last turn did.

        Returns:
            Why it failed, if it was waited for.
        """
        assert self._head is not None
        self.unsaved = True
        self._unsaved_executions = execution - self._head.execution
        self._committing = asyncio.ensure_future(self._commit_and_note(label, execution))
        if self.limits.sync:
            await self.settle()
        return self.take_trouble()

    async def settle(self) -> None:
        """Wait for the commit that is under way, if one is."""
        if self._committing is not None:
            await asyncio.wait([self._committing])
            committing, self._committing = self._committing, None
            if (error := committing.exception()) is not None:
                raise error

    async def ensure_saved(self) -> None:
        """As `settle`, where nothing may be missing in the store.

        Raises:
            StoreError: something cannot be saved.
        """
        await self.settle()
        if self.unsaved:
            raise StoreError(
                f"space `{self.handle}` has changes that are not saved: "
                + (" ".join(self.take_trouble()) or "the store failed")
            )

    async def unload(self) -> bool:
        """End the worker if all that it did is saved; whether that is so."""
        await self.settle()
        if self.unsaved:
            return False
        await self.drop()
        return True

    async def drop(self) -> None:
        """End the worker; what was not saved is lost."""
        guest, self.guest = self.guest, None
        if guest is not None:
            await guest.close()

    async def close(self) -> None:
        """End the worker, once what it did is saved, and give up the right to write."""
        with contextlib.suppress(RlmError):
            await self.settle()
        await self.drop()
        self._writer.release()

    async def _carry_over(self, row: SpaceRow) -> Guest:
        """Begin anew with another interpreter, and bring the variables of the older one along."""
        image, pool = await self._preparation.wait()
        module = module_of(row.head.guest)
        folder = self._store.artefact(module)
        limit = self.limits.memory_mb << 20
        older = Guest(await self._preparation.older_worker(module, folder), limit)
        try:
            await self._map(older, row.head.id)
            descriptor, size, left = await export_variables(
                older, bootstrap_source(), bootstrap_request(libraries=False)
            )
        finally:
            await older.close()
        guest = Guest(await pool.take(), limit)
        try:
            root = await asyncio.to_thread(
                self._store.root,
                image.path, image.digest, image.size, image.stop, self._guest_id, image.identity,
            )  # fmt: skip
            opened = await self._map(guest, root)
            await import_variables(guest, descriptor, size)
            # The state before stays reachable for the version that made it.
            await asyncio.to_thread(self._store.checkpoint, self.handle, "before the upgrade")
            await asyncio.to_thread(self._store.move_head, self.handle, root)
            self._head, self._files = opened.commit, opened.files
            await self._commit(guest, "upgrade", row.head.execution)
        except BaseException:
            await guest.close()
            raise
        finally:
            os.close(descriptor)
        names = f"; not carried over: {', '.join(left)}" if left else ""
        self._trouble.append(
            "the sandbox has another interpreter since this space was last used; the variables "
            f"were carried over by pickling{names}"
        )
        self.guest = guest
        self.unsaved = False
        return guest

    async def _map(self, guest: Guest, commit: int) -> Opened:
        opened = await asyncio.to_thread(self._store.open, commit)
        try:
            await guest.open(
                State(
                    size=opened.commit.size,
                    layout=opened.layout.pack(),
                    files=opened.descriptors,
                    stop=opened.commit.stop,
                    monotonic_ns=opened.commit.monotonic_ns,
                )
            )
        finally:
            for descriptor in opened.descriptors:
                os.close(descriptor)
        faults.point("open:mapped")
        return opened

    async def _commit_and_note(self, label: str, execution: int) -> None:
        guest = self.guest
        assert guest is not None
        try:
            await self._commit(guest, label, execution)
            self.unsaved = False
            self._unsaved_executions = 0
        except StoreError as error:
            self._trouble.append(f"execution {execution} is not saved: {error}")
        except (WorkerDiedError, SandboxError):
            self._trouble.append(
                f"execution {execution} was lost: the sandbox process died before it was saved; "
                "the space is at its last commit"
            )
            self.unsaved = False
            self._unsaved_executions = 0
            await self.drop()

    async def _commit(
        self, guest: Guest, label: str, execution: int, stop: StopPoint | None = None
    ) -> None:
        changes = await guest.collect()
        commit, file, origin = await asyncio.to_thread(
            self._writer.commit,
            changed=changes.runs,
            source=guest.scratch,
            label=label,
            execution=execution,
            size=changes.size,
            monotonic_ns=changes.monotonic_ns,
            stop=stop,
            guest=self._guest_id,
        )
        self._head = commit
        if not changes.pages:
            return
        faults.point("adopt")
        # From here on it is saved; a failure to map it costs the worker only.
        if file in self._files:
            await self._guarded(guest.adopt(self._files.index(file), origin))
            return
        descriptor = self._store.open_for_reading(file)
        try:
            await self._guarded(guest.adopt(len(self._files), origin, descriptor))
        finally:
            os.close(descriptor)
        self._files.append(file)

    async def _guarded(self, awaited: Awaitable[None]) -> None:
        """A step whose failure costs the worker and not the call."""
        try:
            await awaited
        except (WorkerDiedError, SandboxError):
            await self.drop()
