"""A space: one interpreter whose every execution is a commit."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ..errors import BadRequestError, SandboxError
from ..sandbox import Answerer, WorkerDiedError, refuse_calls, scratch_file, text_of
from ..store import Commit
from ._executor import Executor
from ._keeper import Keeper
from ._queue import Queue
from ._results import KEPT, variables_of
from ._turns import Turns
from ._values import Execution, Loaded, Suspension, Variable
from ._views import Views

_T = TypeVar("_T")

BUSY_SECONDS = 1.0
"""How long a peek waits for a busy space before it is answered from the last commit."""


class Space:
    """One interpreter with its variables and history. Calls are carried out in order.

    Made by `Spaces`.

    Args:
        keeper: holds its guest, and commits what that does.
        views: answers what guests ask about views; without it there are none.
        ending: ends what is done for it elsewhere, when it is closed.
    """

    def __init__(
        self,
        keeper: Keeper,
        views: Views | None = None,
        ending: Callable[[Space], Awaitable[None]] | None = None,
    ) -> None:
        self.handle = keeper.handle
        self._ending = ending
        self._keeper = keeper
        self._views = views
        self._queue = Queue()
        self._turns = Turns(keeper, views)
        self._executor = Executor(keeper, self._turns)

    # State ---------------------------------------------------------------------------------

    @property
    def doing(self) -> str | None:
        """What it is busy with, or `None`."""
        return self._queue.doing

    @property
    def last_used(self) -> float:
        """When it last began or ended something, on the monotonic clock."""
        return self._queue.last_used

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

    @property
    def suspension(self) -> Suspension | None:
        """What its code waits for, if that comes from its own caller."""
        return self._queue.suspension

    def suspend(self, suspension: Suspension) -> None:
        """Say that the code waits for its own caller, until `resume`.

        What waits for its turn is refused, and so is what comes: the one whom it waits for may
        be the one who calls.
        """
        self._queue.suspend(suspension)

    def resume(self) -> None:
        """Say that the code goes on."""
        self._queue.resume()

    # Running code --------------------------------------------------------------------------

    async def execute(
        self,
        code: str,
        *,
        timeout_s: float,
        keep_chars: int,
        answer: Answerer = refuse_calls,
        cancel: asyncio.Event | None = None,
        begun: Callable[[], None] | None = None,
    ) -> Execution:
        """Run code.

        Args:
            code: Python source.
            timeout_s: for the code, in seconds; waiting for sub-LLM calls does not count.
            keep_chars: characters of output to return of its beginning, and of its end.
            answer: answers what the code asks of the server.
            cancel: when set, the code is stopped.
            begun: is told when its turn has come and it begins.

        Raises:
            RlmError: the space cannot run anything now.
        """
        seconds = min(timeout_s, self._keeper.limits.timeout_s)

        async def run(cancel: asyncio.Event) -> Execution:
            if begun is not None:
                begun()
            return await self._executor.execute(code, seconds, keep_chars, answer, cancel)

        return await self._operate("an execution", run, cancel)

    # Values in -----------------------------------------------------------------------------

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
            "format": format, "modified": row.modified, "time": now.isoformat(timespec="seconds"),
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
            return await self._turns.set(label, request, cancel, answer=answer, source=source)

        return await self._operate(doing, run, cancel)

    # Values out ----------------------------------------------------------------------------

    async def peek(self, **request: Any) -> str:
        """Look at a part of a variable; the space stays as it is.

        Args:
            request: `target` and the other arguments of `rlm_guest._peek.peek`.

        Raises:
            BadRequestError: the target or the range is wrong.
        """
        request = {"op": "peek", **request}
        if not await self._queue.idle(within=BUSY_SECONDS):
            result = await self._turns.look_back(request)
            state = f"busy with {self.doing or 'another call'}"
            if self.suspension is not None:
                state = f"suspended, {self.suspension.brief()}"
            text = text_of(result.get("text"), KEPT)
            return f"{text}\n[the space is {state}: this is its last commit]"
        result = await self._look("a peek", request)
        return text_of(result.get("text"), KEPT)

    async def peek_beside(self, name: str, value: object, **request: Any) -> str:
        """Look at part of a value that the space does not hold, as `peek` looks at a variable.

        Args:
            name: that the target begins with.
            value: of JSON.
            request: as for `peek`.

        Raises:
            BadRequestError: the target or the range is wrong.
        """
        data = json.dumps(value).encode()
        descriptor = await asyncio.to_thread(scratch_file, data)
        try:
            load = {
                "op": "load", "name": name, "size": len(data), "entries": [(name, 0, len(data))],
                "kind": "inline", "format": "json", "hint": "",
            }  # fmt: skip
            peek = {"op": "peek", **request}
            result = await self._turns.look_back(load, peek, source=descriptor)
        finally:
            os.close(descriptor)
        return text_of(result.get("text"), KEPT)

    async def save(self, name: str, *, target: int, format: str, suffix: str) -> tuple[int, str]:
        """Write a variable to an open descriptor.

        Returns:
            The bytes written, and the format used.

        Raises:
            BadRequestError: there is no such variable, or it has no such format.
        """
        request = {"op": "save", "name": name, "format": format, "suffix": suffix}
        result = await self._look(f"saving `{name}`", request, target)
        written = result.get("written")
        if type(written) is not int:
            raise SandboxError(f"`{name}` could not be saved: its code handed in no size")
        return written, text_of(result.get("format"), 20)

    async def copy_to(
        self, other: Space, target: str, name: str, *, format: str = "copy"
    ) -> Loaded:
        """Copy a value of this space into a variable of another.

        The value is pickled in this guest and unpickled in the other, never by the server.

        Args:
            other: the other space; this one too is possible.
            target: name or access path here.
            name: of the variable there.
            format: `copy`, with where it came from; `answer` from a run's space to the one that
                it was forked from: classes that both have are referred to by name.

        Raises:
            BadRequestError: there is no such value, or it cannot be pickled.
        """
        descriptor = scratch_file()
        try:
            size, _ = await self.save(target, target=descriptor, format=format, suffix="")
            if self._views is not None:
                await self._views.share(self.handle, other.handle)
            return await other.load(
                name,
                source=descriptor,
                size=size,
                entries=[(name, 0, size)],
                kind="file",
                format="pickle" if format == "answer" else format,
                hint=f"space:{self.handle}/{target}",
            )
        finally:
            os.close(descriptor)

    async def variables(self, limit: int) -> list[Variable]:
        """The variables of the space, each in one line; of its last commit if it is suspended."""
        request = {"op": "info", "limit": limit}
        if self.suspension is not None:
            result = await self._turns.look_back(request)
        else:
            result = await self._look("a list of variables", request)
        return variables_of(result.get("variables"), limit)

    async def read_reply(self, text: str) -> dict[str, Any]:
        """Take apart what a root model wrote, inside the sandbox; the space stays as it is.

        Returns:
            What `rlm_guest._reply.read` says, which may be forged.
        """
        return await self._look("reading a reply", {"op": "reply", "text": text})

    async def _look(
        self, doing: str, request: dict[str, Any], target: int | None = None
    ) -> dict[str, Any]:
        async def run(cancel: asyncio.Event) -> dict[str, Any]:
            return await self._turns.look(request, cancel, target)

        return await self._operate(doing, run)

    # Commits -------------------------------------------------------------------------------

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
            await self._keeper.ensure_saved()

        await self._operate("saving", run)

    async def unload(self) -> bool:
        """Give the worker back; the space is mapped again when it is used.

        Returns:
            Whether it did: a space that is busy, or not saved, keeps its worker.
        """
        if self._queue.busy:
            return False
        async with self._queue.held():
            return await self._keeper.unload()

    async def close(self) -> None:
        """End what it does and give up the right to write; may be called twice."""
        await self._queue.close()
        if self._ending is not None:
            await self._ending(self)
        await self._keeper.close()

    async def _operate(
        self,
        doing: str,
        run: Callable[[asyncio.Event], Awaitable[_T]],
        cancel: asyncio.Event | None = None,
    ) -> _T:
        """Carry out an operation in its turn; the death of the worker costs that one alone."""

        async def guarded(cancel: asyncio.Event) -> _T:
            try:
                return await run(cancel)
            except WorkerDiedError as error:
                await self._keeper.drop()
                raise SandboxError(
                    "the sandbox process died; the space is back at its last commit"
                ) from error

        return await self._queue.carry_out(doing, guarded, cancel)
