"""A space: one interpreter whose every execution is a commit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from sandbox_wasm import bootstrap_request, bootstrap_source

from ..errors import BadRequestError, RlmError, SandboxError, SpaceError, StoreError
from ..sandbox import (
    Answer,
    Guest,
    LostError,
    Preparation,
    State,
    WorkerDiedError,
    refuse_calls,
    scratch_file,
    text_of,
)
from ..store import Commit, Opened, SpaceRow, Store, Writer, faults
from ._pmap import run_pmap
from ._upgrade import export_variables, import_variables, module_of
from ._values import Change, Execution, Limits, Loaded, Variable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

QUICK_SECONDS = 30.0
"""For turns that run none of the agent's code on purpose: previews, peeks, lists of variables."""
LOAD_SECONDS = 600.0
PMAP = "pmap"
_LOST_AGAIN = (
    "the execution before was lost too; if even harmless code is, a value that is kept breaks it: "
    'spaces(action="undo") takes back the last execution that is kept'
)
KEPT = 40_000
"""Characters of any text from a guest; replies are shorter."""
BUSY_SECONDS = 1.0
"""How long a peek waits for a busy space before it is answered from the last commit."""

_COMMITTED = ("exec", "load", "ask")
_LOST = {
    "timeout": "the code did not stop at its deadline and was ended. Work in smaller steps, or "
    "raise timeout_s",
    "cancelled": "the code did not stop when it was cancelled and was ended",
    "stack": "the stack was exhausted. Recurse less deeply, or use a loop",
    "broken": "the code broke the interpreter's own loop. Leave builtins and sys.modules as they "
    "are",
    "unusable": "the code left no memory, or broke what later executions need",
    "died": "the sandbox process died. If that happens again, work on less at a time",
}


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
        self.last_used = time.monotonic()
        self.doing: str | None = None
        """What it is busy with, or `None`."""
        self._store = store
        self._writer = writer
        self._preparation = preparation
        self._limits = limits
        self._guest_id = guest_id
        self._lock = asyncio.Lock()
        self._guest: Guest | None = None
        self._files: list[int] = []
        self._head: Commit | None = None
        self._reseed = False
        self._committing: asyncio.Task[None] | None = None
        self._trouble: list[str] = []
        self._unsaved = False
        self._unsaved_executions = 0
        self._lost = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    # What callers do ---------------------------------------------------------------------

    async def execute(
        self,
        code: str,
        *,
        timeout_s: float,
        keep_chars: int,
        answer: Answer = refuse_calls,
    ) -> Execution:
        """Run code.

        Args:
            code: Python source.
            timeout_s: for the code, in seconds; waiting for sub-LLM calls does not count.
            keep_chars: characters of output to return of its beginning, and of its end.
            answer: answers what the code asks of the server.

        Raises:
            RlmError: the space cannot run anything now.
        """
        seconds = min(timeout_s, self._limits.timeout_s)

        async def run(cancel: asyncio.Event) -> Execution:
            guest = await self._ready()
            assert self._head is not None
            number = self._head.execution + 1 + self._unsaved_executions
            begin = time.monotonic()
            request = {"op": "exec", "code": code, "number": number, "keep_chars": keep_chars}
            notes = self._take_trouble()
            head = self._head.id

            async def answer_all(fields: dict[str, Any]) -> dict[str, Any]:
                if fields.get("op") != PMAP:
                    return await answer(fields)
                return await run_pmap(fields, lambda: self._read_only(head), answer, seconds)

            try:
                result = await self._turn(guest, request, seconds, cancel, answer_all)
            except LostError as error:
                await self._drop()
                took = time.monotonic() - begin
                self._lost += 1
                if self._lost > 1:
                    notes += (_LOST_AGAIN,)
                return Execution(number, took, lost=_why_lost(error), notes=notes)
            self._lost = 0
            execution = _execution(result, number, time.monotonic() - begin, notes)
            if execution.stopped and not cancel.is_set():
                execution = replace(execution, stopped="timeout")
            saved = await self._save(_label(code), number)
            return replace(execution, notes=execution.notes + saved, saved=self._limits.sync)

        return await self._operate("an execution", run)

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

        Raises:
            BadRequestError: the data is not of the format.
            RlmError: the space cannot run anything now.
        """
        request: dict[str, Any] = {
            "op": "load", "name": name, "size": size, "entries": entries, "kind": kind,
            "format": format, "hint": hint,
        }  # fmt: skip
        return await self._set(f"a load of `{name}`", f"load {name}", request, source=source)

    async def ask(self, into: str, request: dict[str, Any], answer: Answer) -> Loaded:
        """Set a variable to what sub-LLM calls answer.

        Args:
            into: the variable.
            request: the template and its arguments, for `rlm_guest._llm`.
            answer: asks the model.

        Raises:
            BadRequestError: a call failed or the template is wrong.
        """
        request = {"op": "ask", "into": into, **request}
        return await self._set(f"sub-LLM calls into `{into}`", f"ask {into}", request, answer)

    async def _set(
        self,
        doing: str,
        label: str,
        request: dict[str, Any],
        answer: Answer = refuse_calls,
        source: int | None = None,
    ) -> Loaded:
        async def run(cancel: asyncio.Event) -> Loaded:
            guest = await self._ready()
            assert self._head is not None
            begin = time.monotonic()
            notes = self._take_trouble()
            result = await self._quick(guest, request, LOAD_SECONDS, cancel, answer, source)
            saved = await self._save(label, self._head.execution + self._unsaved_executions)
            found = (*notes, *_texts(result.get("notes")), *saved)
            return Loaded(text_of(result.get("preview"), KEPT), found, time.monotonic() - begin)

        return await self._operate(doing, run)

    async def copy_to(self, other: Space, target: str, name: str) -> Loaded:
        """Copy a value of this space into a variable of another.

        The value is pickled in this guest and unpickled in the other, never by the server.

        Args:
            other: the other space; this one too is possible.
            target: name or access path here.
            name: of the variable there.

        Raises:
            BadRequestError: there is no such value, or it cannot be pickled.
        """
        descriptor = scratch_file()
        try:
            size, _ = await self.save(target, target=descriptor, format="pickle", suffix="")
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
        if self._lock.locked():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BUSY_SECONDS):
                    async with self._lock:
                        pass
            if self._lock.locked():
                text = await self._peek_at_last_commit(request)
                doing = self.doing or "another call"
                return f"{text}\n[the space is busy with {doing}: this is its last commit]"

        async def run(cancel: asyncio.Event) -> str:
            guest = await self._ready()
            result = await self._quick(guest, {"op": "peek", **request}, QUICK_SECONDS, cancel)
            if not self._unsaved:
                await self._guarded(guest.discard())
            return text_of(result.get("text"), KEPT)

        return await self._operate("a peek", run)

    async def _peek_at_last_commit(self, request: dict[str, Any]) -> str:
        row = self._store.space(self.handle)
        assert row is not None
        guest = await self._read_only(row.head.id)
        try:
            result = await guest.turn({"op": "peek", **request}, seconds=QUICK_SECONDS)
        except (LostError, WorkerDiedError) as error:
            raise SandboxError("the variable cannot be shown") from error
        finally:
            await guest.close()
        if "refused" in result:
            raise BadRequestError(text_of(result["refused"], KEPT))
        return text_of(result.get("text"), KEPT)

    async def _read_only(self, commit: int) -> Guest:
        """Another guest at a commit of this space, of which nothing is ever saved."""
        _, pool = await self._preparation.wait()
        guest = Guest(await pool.take(), self._limits.memory_mb << 20)
        try:
            opened = await self._map(guest, commit)
        except BaseException:
            await guest.close()
            raise
        if opened.damage:
            await guest.close()
            raise StoreError(f"commit {commit} cannot be read: {opened.damage}")
        return guest

    async def save(self, name: str, *, target: int, format: str, suffix: str) -> tuple[int, str]:
        """Write a variable to an open descriptor.

        Returns:
            The bytes written, and the format used.

        Raises:
            BadRequestError: there is no such variable, or it has no such format.
        """

        async def run(cancel: asyncio.Event) -> tuple[int, str]:
            guest = await self._ready()
            request = {"op": "save", "name": name, "format": format, "suffix": suffix}
            result = await self._quick(guest, request, LOAD_SECONDS, cancel, target=target)
            if not self._unsaved:
                await self._guarded(guest.discard())
            written = result.get("written")
            if type(written) is not int:
                raise SandboxError(f"`{name}` could not be saved: its code handed in no size")
            return written, text_of(result.get("format"), 20)

        return await self._operate(f"saving `{name}`", run)

    async def variables(self, limit: int) -> list[Variable]:
        """The variables of the space, each in one line."""

        async def run(cancel: asyncio.Event) -> list[Variable]:
            guest = await self._ready()
            result = await self._quick(guest, {"op": "info", "limit": limit}, QUICK_SECONDS, cancel)
            if not self._unsaved:
                await self._guarded(guest.discard())
            return _variables(result.get("variables"), limit)

        return await self._operate("a list of variables", run)

    async def move_to(self, commit: int) -> Commit:
        """Go to another commit of this space.

        Raises:
            SpaceError: the commit is not one of this space, or is no longer kept.
        """

        async def run(_cancel: asyncio.Event) -> Commit:
            await self._settle()
            await asyncio.to_thread(self._store.commit_of_space, self.handle, commit)
            found = await asyncio.to_thread(self._store.move_head, self.handle, commit)
            await self._drop()
            self._unsaved = False
            return found

        return await self._operate("a return to an earlier commit", run)

    async def settled(self) -> None:
        """Wait until all that was done is in the store.

        Raises:
            StoreError: it cannot be saved.
        """

        async def run(_cancel: asyncio.Event) -> None:
            await self._settle()
            if self._unsaved:
                raise StoreError(
                    f"space `{self.handle}` has changes that are not saved: "
                    + (" ".join(self._trouble) or "the store failed")
                )

        await self._operate("saving", run)

    @property
    def running(self) -> bool:
        """Whether a worker runs it."""
        return self._guest is not None

    @property
    def pid(self) -> int | None:
        """The process id of its worker, if it has one."""
        return self._guest.pid if self._guest is not None and self._guest.alive else None

    async def unload(self) -> bool:
        """Give the worker back; the space is mapped again when it is used.

        Returns:
            Whether it did: a space that is busy, or not saved, keeps its worker.
        """
        if self._lock.locked():
            return False
        async with self._lock:
            await self._settle()
            if self._unsaved:
                return False
            await self._drop()
            return True

    async def close(self) -> None:
        """End what it does and give up the right to write; may be called twice."""
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        with contextlib.suppress(RlmError):
            await self._settle()
        await self._drop()
        self._store.release(self._writer)

    # How -----------------------------------------------------------------------------------

    async def _operate(self, doing: str, run: Callable[[asyncio.Event], Awaitable[_T]]) -> _T:
        """Carry out one operation after those before it.

        It runs in a task of its own: a caller that goes away stops the code, in order, and
        leaves the space whole.
        """
        cancel = asyncio.Event()
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
        async with self._lock:
            if cancel.is_set():
                raise SpaceError("the call was cancelled before it began")
            self.doing = doing
            self.last_used = time.monotonic()
            try:
                return await run(cancel)
            except WorkerDiedError as error:
                await self._drop()
                raise SandboxError(
                    "the sandbox process died; the space is back at its last commit"
                ) from error
            finally:
                self.doing = None
                self.last_used = time.monotonic()

    async def _turn(
        self,
        guest: Guest,
        request: dict[str, Any],
        seconds: float,
        cancel: asyncio.Event,
        answer: Answer = refuse_calls,
        source: int | None = None,
        target: int | None = None,
    ) -> dict[str, Any]:
        request = {**request, "reseed": self._reseed}
        result = await guest.turn(
            request,
            seconds=seconds,
            cancel=cancel,
            answer=answer,
            counted=frozenset({PMAP}),
            source=source,
            target=target,
            check=request["op"] in _COMMITTED,
        )
        self._reseed = False
        return result

    async def _quick(
        self,
        guest: Guest,
        request: dict[str, Any],
        seconds: float,
        cancel: asyncio.Event,
        answer: Answer = refuse_calls,
        source: int | None = None,
        target: int | None = None,
    ) -> dict[str, Any]:
        """A turn that either works or leaves nothing behind."""
        try:
            result = await self._turn(guest, request, seconds, cancel, answer, source, target)
        except LostError as error:
            await self._drop()
            raise SandboxError(
                f"{_why_lost(error)}. The space is back at its last commit"
            ) from error
        if "refused" in result:
            if not self._unsaved:
                await self._guarded(guest.discard())
            raise BadRequestError(text_of(result["refused"], KEPT))
        return result

    async def _guarded(self, awaited: Awaitable[None]) -> None:
        """A step whose failure costs the worker and not the call."""
        try:
            await awaited
        except (WorkerDiedError, SandboxError):
            await self._drop()

    async def _ready(self) -> Guest:
        """The guest, with everything before it saved."""
        await self._settle()
        if self._guest is not None and self._guest.alive:
            if self._unsaved:
                await self._save("retry", self._execution_now)
                await self._settle()
            return self._guest
        if self._guest is not None:
            await self._drop()
            self._trouble.append(
                "the sandbox process died since the last call; the space is at its last commit"
            )
        row = self._store.space(self.handle)
        if row is None:
            raise SpaceError(f"space `{self.handle}` was deleted")
        _, pool = await self._preparation.wait()
        if module_of(row.head.guest) != module_of(self._guest_id):
            return await self._carry_over(row)
        guest = Guest(await pool.take(), self._limits.memory_mb << 20)
        try:
            opened = await self._map(guest, row.head.id)
            self._head, self._files = opened.commit, opened.files
            self._reseed = row.fresh
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
        self._guest = guest
        self._unsaved = False
        return guest

    async def _carry_over(self, row: SpaceRow) -> Guest:
        """Begin anew with another interpreter, and bring the variables of the older one along."""
        image, pool = await self._preparation.wait()
        module = module_of(row.head.guest)
        folder = self._store.artefact(module)
        limit = self._limits.memory_mb << 20
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
                image.path, image.digest, image.size, image.stop, self._guest_id,
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
        self._guest = guest
        self._unsaved = False
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

    @property
    def _execution_now(self) -> int:
        assert self._head is not None
        return self._head.execution + self._unsaved_executions

    async def _save(self, label: str, execution: int) -> tuple[str, ...]:
        """Begin the commit of what the last turn did.

        Returns:
            Why it failed, if it was waited for.
        """
        assert self._head is not None
        self._unsaved = True
        self._unsaved_executions = execution - self._head.execution
        self._committing = asyncio.ensure_future(self._commit_and_note(label, execution))
        if self._limits.sync:
            await self._settle()
        return self._take_trouble()

    async def _commit_and_note(self, label: str, execution: int) -> None:
        guest = self._guest
        assert guest is not None
        try:
            await self._commit(guest, label, execution)
            self._unsaved = False
            self._unsaved_executions = 0
        except StoreError as error:
            self._trouble.append(f"execution {execution} is not saved: {error}")
        except (WorkerDiedError, SandboxError):
            self._trouble.append(
                f"execution {execution} was lost: the sandbox process died before it was saved; "
                "the space is at its last commit"
            )
            self._unsaved = False
            self._unsaved_executions = 0
            await self._drop()

    async def _commit(self, guest: Guest, label: str, execution: int, stop: Any = None) -> None:
        changes = await guest.collect()
        commit, file, origin = await asyncio.to_thread(
            self._store.commit,
            self._writer,
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

    async def _settle(self) -> None:
        if self._committing is not None:
            await asyncio.wait([self._committing])
            committing, self._committing = self._committing, None
            if (error := committing.exception()) is not None:
                raise error

    async def _drop(self) -> None:
        guest, self._guest = self._guest, None
        if guest is not None:
            await guest.close()

    def _take_trouble(self) -> tuple[str, ...]:
        taken, self._trouble = tuple(self._trouble), []
        return taken


def _forget_result(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


def _why_lost(error: LostError) -> str:
    if error.cause.startswith("exit "):
        return f"the code ended the interpreter ({error.cause}). Let it run to its end instead"
    if error.cause.startswith("trap"):
        return f"the interpreter crashed ({error.cause}). Work on less at a time"
    return _LOST.get(error.cause, error.cause)


def _label(code: str) -> str:
    """The first line that says what code does, for the history."""
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    telling = (line for line in lines if not line.startswith(("import ", "from ", "#", "@")))
    label = next(telling, lines[0] if lines else "")[:100]
    return label.encode("utf-8", "replace").decode()


def _execution(
    result: dict[str, Any], number: int, seconds: float, notes: tuple[str, ...]
) -> Execution:
    """What the guest handed in, with every field checked: it may be an attacker's."""
    if "refused" in result:
        error = text_of(result["refused"], KEPT) or "the code broke its own result"
        return Execution(number, seconds, error=error, notes=notes)

    def text(key: str) -> str:
        return text_of(result.get(key), KEPT)

    found = result.get("changes")
    changes = []
    for entry in found[:1000] if isinstance(found, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            kind, brief = text_of(entry.get("kind"), 20), text_of(entry.get("brief"), 1000)
            changes.append(Change(entry["name"][:200], kind, brief))
    total = result.get("total")
    return Execution(
        number=number,
        seconds=seconds,
        output=text("output"),
        tail=text("tail"),
        total=total if type(total) is int and 0 <= total < 1 << 62 else 0,
        value=text("value") if isinstance(result.get("value"), str) else None,
        error=text("error") or None,
        stopped="cancelled" if result.get("stopped") is True else None,
        changes=tuple(changes),
        notes=(*notes, *_texts(result.get("notes"))),
    )


def _texts(found: object) -> list[str]:
    return [text_of(text, 500) for text in found[:20]] if isinstance(found, list) else []


def _variables(found: object, limit: int) -> list[Variable]:
    return [
        Variable(text_of(entry.get("name"), 200), text_of(entry.get("brief"), 1000))
        for entry in (found[:limit] if isinstance(found, list) else ())
        if isinstance(entry, dict)
    ]
