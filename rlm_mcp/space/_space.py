"""A space: one interpreter whose every execution is a commit."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..errors import BadRequestError, RlmError, SandboxError, SpaceError, StoreError
from ..sandbox import (
    Answerer,
    Clock,
    Guest,
    LostError,
    Preparation,
    WorkerDiedError,
    refuse_calls,
    scratch_file,
    text_of,
)
from ..store import Commit, Store, Writer
from ._keeper import Keeper
from ._pmap import run_pmap
from ._results import KEPT, execution_of, label_of, texts_of, variables_of, why_lost
from ._values import WAITS, Execution, Limits, Loaded, Suspension, Variable
from ._views import VIEW_OPERATIONS, Views

_T = TypeVar("_T")

QUICK_SECONDS = 30.0
"""For turns that run none of the agent's code on purpose: previews, peeks, lists of variables."""
LOAD_SECONDS = 600.0
PMAP = "pmap"
_LOST_AGAIN = (
    "the execution before was lost too; if even harmless code is, a value that is kept breaks it: "
    'spaces(action="undo") takes back the last execution that is kept'
)
BUSY_SECONDS = 1.0
"""How long a peek waits for a busy space before it is answered from the last commit."""

_COMMITTED = ("exec", "load", "view", "ask", "begin")


class Space:
    """One interpreter with its variables and history. Calls are carried out in order.

    Made by `Spaces`.

    Args:
        handle: its name.
        store: where it is kept.
        writer: the right to commit to it.
        preparation: offers workers.
        limits: that bound it.
        guest_id: names the code that this server puts into guests.
        views: answers what guests ask about views; without it there are none.
    """

    def __init__(
        self,
        handle: str,
        store: Store,
        writer: Writer,
        preparation: Preparation,
        limits: Limits,
        guest_id: str,
        views: Views | None = None,
    ) -> None:
        self.handle = handle
        self.last_used = time.monotonic()
        self.doing: str | None = None
        """What it is busy with, or `None`."""
        self._suspension: Suspension | None = None
        self._store = store
        self._writer = writer
        self._limits = limits
        self._views = views
        self._lock = asyncio.Lock()
        self._keeper = Keeper(handle, store, writer, preparation, limits, guest_id)
        self._lost = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._queued: dict[asyncio.Task[Any], str | None] = {}
        """What waits for its turn, and why it is refused if it is."""

    # What callers do ---------------------------------------------------------------------

    async def execute(
        self,
        code: str,
        *,
        timeout_s: float,
        keep_chars: int,
        answer: Answerer = refuse_calls,
        cancel: asyncio.Event | None = None,
    ) -> Execution:
        """Run code.

        Args:
            code: Python source.
            timeout_s: for the code, in seconds; waiting for sub-LLM calls does not count.
            keep_chars: characters of output to return of its beginning, and of its end.
            answer: answers what the code asks of the server.
            cancel: when set, the code is stopped.

        Raises:
            RlmError: the space cannot run anything now.
        """
        seconds = min(timeout_s, self._limits.timeout_s)

        async def run(cancel: asyncio.Event) -> Execution:
            keeper = self._keeper
            guest = await keeper.ready()
            number = keeper.execution + 1
            begin = time.monotonic()
            request = {"op": "exec", "code": code, "number": number, "keep_chars": keep_chars}
            notes = keeper.take_trouble()
            head = keeper.head.id
            clock = Clock(seconds)

            async def answer_all(fields: dict[str, Any]) -> dict[str, Any]:
                if fields.get("op") != PMAP:
                    return await answer(fields)
                forks = self._with_views(answer)
                return await run_pmap(fields, lambda: keeper.read_only(head), forks, seconds, clock)

            try:
                result = await self._turn(guest, request, clock, cancel, answer_all)
            except LostError as error:
                notes += self._also_lost()
                await keeper.drop()
                took = time.monotonic() - begin
                self._lost += 1
                if self._lost > 1:
                    notes += (_LOST_AGAIN,)
                return Execution(number, took, lost=why_lost(error), notes=notes)
            self._lost = 0
            execution = execution_of(result, number, time.monotonic() - begin, notes)
            if execution.stopped and not cancel.is_set():
                execution = replace(execution, stopped="timeout")
            saved = await keeper.save(label_of(code), number)
            return replace(execution, notes=execution.notes + saved, saved=self._limits.sync)

        return await self._operate("an execution", run, cancel)

    async def load(
        self,
        name: str,
        *,
        source: int,
        size: int,
        entries: list[tuple[str, int, int]],
        kind: str,
        format: str,
        hint: str,
        pattern: str | None = None,
        charset: str | None = None,
        origin: dict[str, Any] | None = None,
        answer: Answerer = refuse_calls,
    ) -> Loaded:
        """Set a variable from an open descriptor.

        Args:
            name: of the variable.
            source: descriptor of the data.
            size: its bytes.
            entries: name, offset and length of each part.
            kind: `file`, `folder` or `inline`.
            format: as the caller asked for it.
            hint: the source's name, which may tell the format.
            pattern: which members of an archive.
            charset: the encoding of text that the source declared.
            origin: where it comes from, for `rlm_guest._sources`.
            answer: answers what the guest asks meanwhile.

        Raises:
            BadRequestError: the data is not of the format.
            RlmError: the space cannot run anything now.
        """
        request: dict[str, Any] = {
            "op": "load", "name": name, "size": size, "entries": entries, "kind": kind,
            "format": format, "hint": hint, "pattern": pattern, "charset": charset,
            "origin": origin,
        }  # fmt: skip
        return await self._set(f"a load of `{name}`", f"load {name}", request, answer, source)

    async def load_view(
        self, name: str, *, path: str, named: str, source: int, format: str
    ) -> Loaded:
        """Set a variable to a view of a file, which stays where it is.

        Args:
            name: of the variable.
            path: of the file, absolute and with links resolved.
            named: how the caller named it.
            source: descriptor of it.
            format: as the caller asked for it.

        Raises:
            SourceError: the file cannot be read.
            RlmError: the space cannot run anything now.
        """
        if self._views is None:
            raise BadRequestError("this space has no views")
        row = await self._views.add(path, named, source)
        now = datetime.datetime.now(datetime.UTC)
        request: dict[str, Any] = {
            "op": "view", "name": name, "id": row.id, "size": row.size, "hint": named,
            "format": format, "time": now.isoformat(timespec="seconds"),
        }  # fmt: skip
        loaded = await self._set(f"a load of `{name}`", f"load {name}", request)
        if format != "bytes":
            self._views.index_lines(row)
        return loaded

    async def ask(
        self,
        into: str,
        request: dict[str, Any],
        answer: Answerer,
        cancel: asyncio.Event | None = None,
    ) -> Loaded:
        """Set a variable to what sub-LLM calls answer.

        Args:
            into: the variable.
            request: the template and its arguments, for `rlm_guest._llm`.
            answer: asks the model.
            cancel: when set, it is given up.

        Raises:
            BadRequestError: a call failed or the template is wrong.
        """
        request = {"op": "ask", "into": into, **request}
        return await self._set(
            f"sub-LLM calls into `{into}`", f"ask {into}", request, answer, cancel=cancel
        )

    async def begin_run(self, source: int, size: int, names: Sequence[str] | None) -> Loaded:
        """Make this fork ready for a recursive run.

        Args:
            source: descriptor of the pickled variables that are passed to it.
            size: its bytes; 0 when there are none.
            names: the variables that the question is about, `None` for all.

        Returns:
            Previews of the variables.

        Raises:
            BadRequestError: there is no such variable, or what is passed cannot be read.
        """
        request = {"op": "begin", "size": size, "names": None if names is None else list(names)}
        return await self._set("the beginning of a run", "begin a run", request, source=source)

    async def read_reply(self, text: str) -> dict[str, Any]:
        """Take apart what a root model wrote, inside the sandbox; the space stays as it is.

        Returns:
            What `rlm_guest._reply.read` says, which may be forged.
        """

        async def run(cancel: asyncio.Event) -> dict[str, Any]:
            guest = await self._keeper.ready()
            request = {"op": "reply", "text": text}
            result = await self._quick(guest, request, QUICK_SECONDS, cancel)
            await self._keeper.back()
            return result

        return await self._operate("reading a reply", run)

    async def _set(
        self,
        doing: str,
        label: str,
        request: dict[str, Any],
        answer: Answerer = refuse_calls,
        source: int | None = None,
        cancel: asyncio.Event | None = None,
    ) -> Loaded:
        async def run(cancel: asyncio.Event) -> Loaded:
            keeper = self._keeper
            guest = await keeper.ready()
            begin = time.monotonic()
            notes = keeper.take_trouble()
            result = await self._quick(guest, request, LOAD_SECONDS, cancel, answer, source)
            saved = await keeper.save(label, keeper.execution)
            found = (*notes, *texts_of(result.get("notes")), *saved)
            return Loaded(text_of(result.get("preview"), KEPT), found, time.monotonic() - begin)

        return await self._operate(doing, run, cancel)

    async def copy_to(
        self, other: Space, target: str, name: str, *, format: str = "pickle"
    ) -> Loaded:
        """Copy a value of this space into a variable of another.

        The value is pickled in this guest and unpickled in the other, never by the server.

        Args:
            other: the other space; this one too is possible.
            target: name or access path here.
            name: of the variable there.
            format: `answer` from a run's space to the one that it was forked from: classes that
                both have are referred to by name.

        Raises:
            BadRequestError: there is no such value, or it cannot be pickled.
        """
        descriptor = scratch_file()
        try:
            size, _ = await self.save(target, target=descriptor, format=format, suffix="")
            return await other.load(
                name,
                source=descriptor,
                size=size,
                entries=[(name, 0, size)],
                kind="file",
                format="pickle",
                hint=f"space:{self.handle}/{target}",
            )
        finally:
            os.close(descriptor)

    async def peek(self, **request: Any) -> str:
        """Look at a part of a variable; the space stays as it is.

        Args:
            request: `target` and the other arguments of `rlm_guest._peek.peek`.

        Raises:
            BadRequestError: the target or the range is wrong.
        """
        if self._lock.locked() and self.suspension is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUSY_SECONDS):
                    async with self._lock:
                        pass
        if self._lock.locked() or self.suspension is not None:
            result = await self._at_last_commit({"op": "peek", **request})
            state = f"busy with {self.doing or 'another call'}"
            if self.suspension is not None:
                state = f"suspended, {self.suspension.brief()}"
            text = text_of(result.get("text"), KEPT)
            return f"{text}\n[the space is {state}: this is its last commit]"

        async def run(cancel: asyncio.Event) -> str:
            guest = await self._keeper.ready()
            result = await self._quick(guest, {"op": "peek", **request}, QUICK_SECONDS, cancel)
            await self._keeper.back()
            return text_of(result.get("text"), KEPT)

        return await self._operate("a peek", run)

    async def peek_beside(self, name: str, value: object, **request: Any) -> str:
        """Look at part of a value that the space does not hold, as `peek` looks at a variable.

        Args:
            name: that the target begins with.
            value: of JSON.
            request: as for `peek`.

        Raises:
            BadRequestError: the target or the range is wrong.
        """
        descriptor = scratch_file()
        try:
            data = await asyncio.to_thread(lambda: json.dumps(value).encode())
            await asyncio.to_thread(_write, descriptor, data)
            load = {
                "op": "load", "name": name, "size": len(data), "entries": [(name, 0, len(data))],
                "kind": "inline", "format": "json", "hint": "",
            }  # fmt: skip
            result = await self._at_last_commit(load, {"op": "peek", **request}, source=descriptor)
        finally:
            os.close(descriptor)
        return text_of(result.get("text"), KEPT)

    async def _at_last_commit(
        self, *requests: dict[str, Any], source: int | None = None
    ) -> dict[str, Any]:
        """Run turns on a copy of the last commit, of which nothing is kept; the last's result."""
        row = self._store.space(self.handle)
        assert row is not None
        result: dict[str, Any] = {}
        guest = await self._keeper.read_only(row.head.id)
        try:
            for request in requests:
                result = await guest.turn(
                    request,
                    seconds=QUICK_SECONDS,
                    answer=self._with_views(refuse_calls),
                    source=source,
                )
                if "refused" in result:
                    raise BadRequestError(text_of(result["refused"], KEPT))
        except (LostError, WorkerDiedError) as error:
            raise SandboxError("the variable cannot be shown") from error
        finally:
            await guest.close()
        return result

    async def save(self, name: str, *, target: int, format: str, suffix: str) -> tuple[int, str]:
        """Write a variable to an open descriptor.

        Returns:
            The bytes written, and the format used.

        Raises:
            BadRequestError: there is no such variable, or it has no such format.
        """

        async def run(cancel: asyncio.Event) -> tuple[int, str]:
            guest = await self._keeper.ready()
            request = {"op": "save", "name": name, "format": format, "suffix": suffix}
            result = await self._quick(guest, request, LOAD_SECONDS, cancel, target=target)
            await self._keeper.back()
            written = result.get("written")
            if type(written) is not int:
                raise SandboxError(f"`{name}` could not be saved: its code handed in no size")
            return written, text_of(result.get("format"), 20)

        return await self._operate(f"saving `{name}`", run)

    async def variables(self, limit: int) -> list[Variable]:
        """The variables of the space, each in one line; of its last commit if it is suspended."""
        request = {"op": "info", "limit": limit}
        if self.suspension is not None:
            result = await self._at_last_commit(request)
            return variables_of(result.get("variables"), limit)

        async def run(cancel: asyncio.Event) -> list[Variable]:
            guest = await self._keeper.ready()
            result = await self._quick(guest, request, QUICK_SECONDS, cancel)
            await self._keeper.back()
            return variables_of(result.get("variables"), limit)

        return await self._operate("a list of variables", run)

    async def move_to(self, commit: int) -> Commit:
        """Go to another commit of this space.

        Raises:
            SpaceError: the commit is not one of this space, or is no longer kept.
        """

        async def run(_cancel: asyncio.Event) -> Commit:
            return await self._keeper.move_to(commit)

        return await self._operate("a return to an earlier commit", run)

    async def settled(self) -> None:
        """Wait until all that was done is in the store.

        Raises:
            StoreError: it cannot be saved.
        """

        async def run(_cancel: asyncio.Event) -> None:
            await self._keeper.settle()
            if self._keeper.unsaved:
                raise StoreError(
                    f"space `{self.handle}` has changes that are not saved: "
                    + (" ".join(self._keeper.take_trouble()) or "the store failed")
                )

        await self._operate("saving", run)

    def suspend(self, suspension: Suspension) -> None:
        """Say that the code waits for its own caller, until `resume`.

        What waits for its turn is refused, and so is what comes: the one whom it waits for may
        be the one who calls.
        """
        self._suspension = suspension
        for task in self._queued:
            self._queued[task] = suspension.refusal()
            task.cancel()

    def resume(self) -> None:
        """Say that the code goes on."""
        self._suspension = None

    @property
    def suspension(self) -> Suspension | None:
        """What its code waits for, if that comes from its own caller."""
        suspension = self._suspension
        return suspension if suspension is not None and suspension.waits else None

    @property
    def base(self) -> int:
        """The commit that the running execution began from: what its forks begin as."""
        return self._keeper.head.id

    @property
    def running(self) -> bool:
        """Whether a worker runs it."""
        return self._keeper.guest is not None

    @property
    def pid(self) -> int | None:
        """The process id of its worker, if it has one."""
        guest = self._keeper.guest
        return guest.pid if guest is not None and guest.alive else None

    async def unload(self) -> bool:
        """Give the worker back; the space is mapped again when it is used.

        Returns:
            Whether it did: a space that is busy, or not saved, keeps its worker.
        """
        if self._lock.locked():
            return False
        async with self._lock:
            await self._keeper.settle()
            if self._keeper.unsaved:
                return False
            await self._keeper.drop()
            return True

    async def close(self) -> None:
        """End what it does and give up the right to write; may be called twice."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with contextlib.suppress(RlmError):
            await self._keeper.settle()
        await self._keeper.drop()
        self._store.release(self._writer)

    # How -----------------------------------------------------------------------------------

    def _also_lost(self) -> tuple[str, ...]:
        """A note on executions before the one that was lost which could not be saved either."""
        keeper = self._keeper
        if not keeper.unsaved:
            return ()
        return (
            f"what was done since execution {keeper.head.execution} had not been saved and is "
            "lost too",
        )

    async def _operate(
        self,
        doing: str,
        run: Callable[[asyncio.Event], Awaitable[_T]],
        cancel: asyncio.Event | None = None,
    ) -> _T:
        """Carry out one operation after those before it.

        It runs in a task of its own: a caller that goes away stops the code, in order, and
        leaves the space whole.
        """
        cancel = cancel or asyncio.Event()
        task = asyncio.ensure_future(self._in_order(doing, run, cancel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            cancel.set()
            task.add_done_callback(_forget_result)
            raise

    async def _in_order(
        self, doing: str, run: Callable[[asyncio.Event], Awaitable[_T]], cancel: asyncio.Event
    ) -> _T:
        async with self._in_turn():
            if cancel.is_set():
                raise SpaceError("the call was cancelled before it began")
            self.doing = doing
            self.last_used = time.monotonic()
            try:
                return await run(cancel)
            except WorkerDiedError as error:
                await self._keeper.drop()
                raise SandboxError(
                    "the sandbox process died; the space is back at its last commit"
                ) from error
            finally:
                self.doing = None
                self.last_used = time.monotonic()

    @contextlib.asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """Hold the lock; refused if the space is suspended, or becomes so before its turn."""
        if self.suspension is not None:
            raise SpaceError(self.suspension.refusal())
        task = asyncio.current_task()
        assert task is not None
        self._queued[task] = None
        try:
            await self._lock.acquire()
        except asyncio.CancelledError:
            refusal = self._queued[task]
            if refusal is None:
                raise
            task.uncancel()
            raise SpaceError(refusal) from None
        finally:
            del self._queued[task]
        try:
            yield
        finally:
            self._lock.release()

    async def _turn(
        self,
        guest: Guest,
        request: dict[str, Any],
        seconds: float | Clock,
        cancel: asyncio.Event,
        answer: Answerer = refuse_calls,
        source: int | None = None,
        target: int | None = None,
    ) -> dict[str, Any]:
        request = {**request, "reseed": self._keeper.reseed}
        result = await guest.turn(
            request,
            seconds=seconds,
            cancel=cancel,
            answer=self._with_views(answer),
            waits=WAITS,
            source=source,
            target=target,
            check=request["op"] in _COMMITTED,
        )
        self._keeper.reseed = False
        return result

    def _with_views(self, answer: Answerer) -> Answerer:
        """Answer what guests ask about views, whatever the turn is for."""
        views = self._views

        async def answer_all(fields: dict[str, Any]) -> dict[str, Any]:
            if views is not None and fields.get("op") in VIEW_OPERATIONS:
                return await views.answer(fields)
            return await answer(fields)

        return answer_all

    async def _quick(
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
            result = await self._turn(guest, request, seconds, cancel, answer, source, target)
        except LostError as error:
            await self._keeper.drop()
            raise SandboxError(
                f"{why_lost(error)}. The space is back at its last commit"
            ) from error
        if "refused" in result:
            await self._keeper.back()
            raise BadRequestError(text_of(result["refused"], KEPT))
        return result


def _write(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)


def _forget_result(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()
