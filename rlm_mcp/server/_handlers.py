"""What each tool does: parse, call the space, render. Nothing here is worth testing twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from ..errors import BadRequestError, RlmError
from ..lm import AGENT, Account, Attachment, Budget, InFlight, Questions, SubModel, Usage
from ..loaders import (
    Bundle,
    convert,
    converted,
    fetch,
    inline,
    is_url,
    open_source,
    open_target,
    run_command,
    scratch,
)
from ..recursion import ANSWER, RunQuestion
from ..sandbox import Answerer
from ..space import WAITS, Space
from . import _arguments as args
from . import _render as render
from ._app import App
from ._operations import OPERATIONS
from ._progress import Progress
from ._provenance import Provenance
from ._questions_text import PEEKED, peeked
from ._recording import Recording
from ._recursion import hand_over, running
from ._reply import Reply

_COPY = "space:"
_COMMAND = "command:"
_TABLES = {"parquet": "to_parquet", "arrow": "to_arrow"}
"""Formats that a helper process writes, since the guest has no library for them."""
_TABLE_SUFFIXES = {".parquet": "parquet", ".feather": "arrow", ".arrow": "arrow"}
ANSWER_CHARS = 6_000
"""Of an answer in words that `sub_rlm` shows; more would crowd a context that it is to spare."""


@dataclass
class Call:
    """One call of a tool: the parts it works with, and what it has spent.

    Args:
        app: the server's parts.
        progress: to the client.
        recording: what the call leaves in the record.
        questions: what the call asks the calling agent.
        stop: ends the code that it runs, in order, when it is set.
        depth: of the recursive run whose code it runs, 0 outside of one.
        stage: what that run's calls of models go through.
    """

    app: App
    progress: Progress
    recording: Recording = field(default_factory=Recording)
    usages: list[Usage] = field(default_factory=list)
    in_flight: dict[str, InFlight] = field(default_factory=dict)
    """Sub-LLM calls that code awaits, by the handle of the space it runs in."""
    questions: Questions = field(default_factory=Questions)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    depth: int = 0
    stage: SubModel | None = None
    budget: Budget | None = None
    """Of the call alone; those of its space hold as well."""
    own_account: Account | None = None

    @property
    def usage(self) -> Usage:
        """What all sub-LLM calls of this call used."""
        awaited = (calls.usage for calls in self.in_flight.values())
        return sum((*self.usages, *awaited), Usage())

    def close(self) -> None:
        """End the sub-LLM calls that nobody waits for any more."""
        for calls in self.in_flight.values():
            calls.close()

    async def space(self, name: str | None) -> Space:
        """The space of the call, ready."""
        handle = name or self.app.settings.space
        await self.app.preparation.wait(self.progress.say)
        space = await self.app.spaces.use(handle, create=handle == self.app.settings.space)
        self.recording.begin(handle)
        return space

    def model(self, space: Space) -> SubModel:
        """What answers the sub-LLM calls that this call makes in a space."""
        own = self.stage or self.app.calls.model(self.account(space))
        return self.recording.model(own)

    def account(self, space: Space) -> Account:
        """What pays for the sub-LLM calls that this call makes in a space."""
        if self.budget is None:
            return self.app.account(space)
        if self.own_account is None:
            raised_by = {kind: f"budget.{kind}" for kind in ("calls", "tokens", "usd", "seconds")}
            above = self.app.account(space)
            self.own_account = Account("this call", self.budget, above, raised_by=raised_by)
        return self.own_account

    def left(self, space: Space) -> str:
        """What is left of the budgets of a space, and what is the matter, for the last line."""
        return render.left_text(self.account(space).left(), self.app.calls.trouble)

    @property
    def unbounded(self) -> frozenset[str | None]:
        """The models, `None` for the default, that the calling agent answers for."""
        return frozenset({AGENT, None} if self.app.agent_answers else {AGENT})

    def answer(self, space: Space) -> Answerer:
        """Answers what the guest code of a space asks, and counts what that costs."""

        async def answer(fields: dict[str, Any]) -> dict[str, Any]:
            name = fields.pop("op", None)
            operation = OPERATIONS.get(name) if isinstance(name, str) else None
            if operation is None:
                return {"refused": f"the server does not know {str(name)[:80]!r}"}
            waits = self.questions.guest_waiting() if name in WAITS else contextlib.nullcontext()
            try:
                with self.questions.asked_here(), waits:
                    return await operation(self, space, fields)
            except RlmError as error:
                return {"refused": str(error)}

        return answer


async def load_variable(call: Call, given: args.LoadVariable) -> str:
    """Set a variable from a source or an inline value."""
    name = args.check_name(given.name)
    if (given.source is None) == (given.value is None):
        raise BadRequestError(
            "give either `source` or `value`, not both"
            if given.source is not None
            else "`source` (a file, folder, glob or address) or `value` (text or JSON) is missing"
        )
    space = await call.space(given.space)
    if given.source is not None and given.source.startswith(_COPY):
        return await _copy(call, space, name, given.source.removeprefix(_COPY))
    bundle = await _open_any(call.app, given)
    try:
        bundle = await converted(bundle, given.format, call.app.settings.limits.memory_mb << 20)
    except BaseException:
        bundle.close()
        raise
    with bundle:
        if bundle.kind == "view":
            loaded = await space.load_view(
                name,
                path=bundle.path,
                named=bundle.origin.path,
                source=bundle.fd,
                format=given.format,
            )
            return render.loaded_text(name, loaded, space.handle, {}, bundle.notes)
        chosen = given.format if given.format != "auto" else bundle.format
        if bundle.format == "columns":
            chosen = bundle.format
        provenance = Provenance(bundle)
        try:
            loaded = await space.load(
                name,
                source=bundle.fd,
                size=bundle.size,
                entries=[(name, offset, length) for name, offset, length in bundle.entries],
                kind=bundle.kind,
                format=chosen,
                hint=bundle.hint or bundle.origin.path,
                pattern=bundle.pattern,
                charset=bundle.charset,
                origin=provenance.origin,
                answer=provenance.answer,
            )
        finally:
            await provenance.close()
        bundle.verify()
    return render.loaded_text(name, loaded, space.handle, bundle.skipped, bundle.notes)


async def _open_any(app: App, given: args.LoadVariable) -> Bundle:
    source = given.source or ""
    max_bytes = app.settings.limits.memory_mb << 20
    if is_url(source):
        bundle = await fetch(source, app.settings.urls, max_bytes=max_bytes)
    elif source.startswith(_COMMAND):
        commands, folder = app.settings.commands, app.roots.paths[0]
        bundle = await run_command(source, commands, folder, max_bytes=max_bytes)
    else:
        return await asyncio.to_thread(_open, app, given)
    bundle.pattern = given.pattern
    return bundle


def _open(app: App, given: args.LoadVariable) -> Bundle:
    if given.source is None:
        if given.pattern is not None:
            raise BadRequestError("`pattern` is for folders; leave it out with `value`")
        return inline(given.value)
    return open_source(
        given.source,
        app.roots,
        format=given.format,
        pattern=given.pattern,
        max_bytes=app.settings.limits.memory_mb << 20,
        view_bytes=app.settings.limits.view_bytes,
    )


async def _copy(call: Call, space: Space, name: str, place: str) -> str:
    other, slash, target = place.partition("/")
    if not slash or not target:
        raise BadRequestError("a source in another space is written space:NAME/VARIABLE")
    source = await call.space(other)
    loaded = await source.copy_to(space, target, name)
    return render.loaded_text(name, loaded, space.handle, {}, [])


async def exec_code(call: Call, given: args.ExecCode) -> Reply:
    """Run code."""
    space = await call.space(given.space)
    execution = await space.execute(
        given.code,
        timeout_s=given.timeout_s,
        keep_chars=given.max_chars,
        answer=call.answer(space),
        cancel=call.stop,
    )
    call.recording.executed(execution)
    text = render.execution_text(
        execution, space.handle, call.usage, given.max_chars, call.left(space)
    )
    images = tuple(Attachment("image/png", image) for image in execution.images)
    return Reply(text, execution.failed, images)


async def peek(call: Call, given: args.Peek) -> str:
    """Look at a part of a variable."""
    space = await call.space(given.space)
    request = {
        "target": given.target,
        "start": given.start,
        "length": given.length,
        "unit": given.unit,
        "find": given.find,
        "context": given.context,
        "max_chars": given.max_chars,
    }
    questions = peeked(given.target, call.app.suspended.open(space.handle))
    if questions:
        return render.clean(await space.peek_beside(PEEKED, questions, **request))
    return render.clean(await space.peek(**request))


async def sub_llm(call: Call, given: args.SubLLM) -> str:
    """Ask the sub-model about variables."""
    into = args.check_name(given.into)
    space = await call.space(given.space)
    request = {
        "prompt": given.prompt,
        "over": given.over,
        "schema": given.schema_,
        "model": given.model,
        "concurrency": given.concurrency,
    }
    try:
        loaded = await space.ask(into, request, call.answer(space), call.stop)
    except BadRequestError as error:
        if not call.usage.asked:
            raise
        spent = render.usage_text(call.usage) + call.left(space)
        raise BadRequestError(f"{error}\n[{spent}]") from error
    return render.loaded_text(into, loaded, space.handle, {}, [], call.usage, call.left(space))


async def answer_sub_llm(call: Call, given: args.AnswerSubLLM) -> Reply:
    """Hand in answers to what suspended code asks."""
    handle = given.space or call.app.settings.space
    return await call.app.suspended.answer(handle, given.answers, given.cancel)


async def sub_rlm(call: Call, given: args.SubRLM) -> tuple[str, bool]:
    """Let another model answer a question on a fork; the second value says whether it failed."""
    into = None if given.into is None else args.check_name(given.into)
    space = await call.space(given.space)
    names = None if given.variables is None else tuple(given.variables)
    question = RunQuestion(
        given.question, given.schema_, given.model, given.max_iterations, given.max_llm_calls, names
    )

    async def work() -> tuple[str, bool]:
        async with running(call, space, question) as (fork, result):
            if not result.answered:
                return render.run_text(result), True
            if into is None:
                shown = await _shown_answer(fork)
            else:
                try:
                    shown = f"{into}: {(await hand_over(fork, space, into)).preview}"
                except RlmError as error:
                    raise BadRequestError(
                        f"{error}\nThe answer is kept as `{ANSWER}` in space {fork.handle}\n"
                        + render.run_text(result)
                    ) from error
            return render.run_text(result, render.clean(shown)), False

    task = asyncio.ensure_future(work())
    stop = asyncio.ensure_future(call.stop.wait())
    try:
        await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise BadRequestError("the run was stopped; its space is kept: spaces() lists it")
        return task.result()
    finally:
        stop.cancel()
        task.cancel()


async def _shown_answer(fork: Space) -> str:
    """A text as it is, as far as it fits; of other values a preview."""
    shown = await fork.peek(target=ANSWER)
    if shown.startswith("str "):
        shown = await fork.peek(target=ANSWER, length=ANSWER_CHARS)
    # The last line may name the next call, which is to be made in the fork.
    head, line, last = shown.rpartition("\n")
    call = f'peek("{ANSWER}"'
    return head + line + last.replace(call, f'{call}, space="{fork.handle}"')


async def save_variable(call: Call, given: args.SaveVariable) -> str:
    """Write a variable to a file."""
    space = await call.space(given.space)
    target = await asyncio.to_thread(open_target, given.path, call.app.roots, given.overwrite)
    with target:
        suffix = PurePath(given.path).suffix
        format: str = given.format
        if format == "auto":
            format = _TABLE_SUFFIXES.get(suffix.lower(), format)
        if format in _TABLES:
            written, used = await _save_table(space, given.name, format, target.fd)
        else:
            written, used = await space.save(
                given.name, target=target.fd, format=format, suffix=suffix
            )
        actual = os.fstat(target.fd).st_size
        if actual != written:
            raise BadRequestError(
                f"only {actual:,} of {written:,} bytes reached the file; nothing was changed"
            )
        await asyncio.to_thread(target.commit)
    return f"wrote {written:,} bytes to {given.path} as {used}"


async def _save_table(space: Space, name: str, format: str, target: int) -> tuple[int, str]:
    """Have the guest write the columns of a table, and a helper make the file of them."""
    columns = scratch()
    try:
        await space.save(name, target=columns, format="columns", suffix="")
        await convert(_TABLES[format], columns, target, 0, f"`{name}`")
    finally:
        os.close(columns)
    return os.fstat(target).st_size, format


async def spaces(call: Call, given: args.SpacesCall) -> str:
    """List spaces and act on them."""
    return await _SPACES[given.action](call, given)


async def _list(call: Call, _given: args.SpacesCall) -> str:
    found = await asyncio.to_thread(call.app.spaces.list)
    return render.list_text(found, call.app.settings.space)


async def _info(call: Call, given: args.SpacesCall) -> str:
    space = await call.space(given.space)
    variables = await space.variables(100)
    if space.suspension is None:
        await space.settled()
    app = call.app
    history = await asyncio.to_thread(app.spaces.store.history, space.handle)
    checkpoints = await asyncio.to_thread(app.spaces.store.checkpoints, space.handle)
    account = app.account(space)
    spent = await account.spent()
    return render.info_text(
        app.spaces.info(space.handle), variables, history, checkpoints,
        app.settings.limits.memory_mb, app.model_name,
        render.spending_text(spent, account.budget) + render.left_text(None, app.calls.trouble),
    )  # fmt: skip


async def _open_space(call: Call, given: args.SpacesCall) -> str:
    await call.app.preparation.wait(call.progress.say)
    space, new = await call.app.spaces.open(given.space or given.name)
    call.recording.begin(space.handle)
    state = "new and empty" if new else "open, with all it held"
    return f'space {space.handle} is {state}; pass space="{space.handle}" to use it'


async def _fork(call: Call, given: args.SpacesCall) -> str:
    handle = given.space or call.app.settings.space
    await call.app.preparation.wait(call.progress.say)
    call.recording.begin(handle)
    fork, commit = await call.app.spaces.fork(handle, given.name, given.commit)
    return (
        f"space {fork.handle} is a fork of {handle} as of execution {commit.execution}; "
        f'the two are independent. Pass space="{fork.handle}" to use it'
    )


async def _undo(call: Call, given: args.SpacesCall) -> str:
    space = await call.space(given.space)
    await space.settled()
    history = await asyncio.to_thread(call.app.spaces.store.history, space.handle)
    if len(history) < 2:
        raise BadRequestError(f"space {space.handle} has nothing to undo")
    undone = history[0]
    head = await space.move_to(history[1].id)
    return (
        f"undone: {render.clean(undone.label)[:80]!r}; space {space.handle} is at execution "
        f"{head.execution} (commit {head.id}). To take this back: "
        f'spaces(action="restore", commit={undone.id}, space="{space.handle}")'
    )


async def _checkpoint(call: Call, given: args.SpacesCall) -> str:
    if not given.name:
        raise BadRequestError('a checkpoint wants a name: spaces(action="checkpoint", name=...)')
    space = await call.space(given.space)
    await space.settled()
    store = call.app.spaces.store
    name = given.name[:100]
    commit = await asyncio.to_thread(store.checkpoint, space.handle, name)
    return (
        f"checkpoint {name!r} of space {space.handle} is commit {commit.id}; come back with "
        f'spaces(action="restore", name={json.dumps(name)})'
    )


async def _restore(call: Call, given: args.SpacesCall) -> str:
    space = await call.space(given.space)
    store = call.app.spaces.store
    known = await asyncio.to_thread(store.checkpoints, space.handle)
    number = given.commit
    if given.name is not None:
        if given.name not in known:
            names = ", ".join(known) or "none"
            raise BadRequestError(
                f"there is no checkpoint {given.name[:100]!r}; there are: {names}"
            )
        number = known[given.name]
    if number is None:
        raise BadRequestError("restore wants the name of a checkpoint or a commit")
    await space.settled()
    head = await space.move_to(number)
    return f"space {space.handle} is at commit {head.id}, execution {head.execution}"


async def _close(call: Call, given: args.SpacesCall) -> str:
    handle = given.space or call.app.settings.space
    call.recording.begin(handle)
    await call.app.spaces.close(handle)
    return (
        f'space {handle} is closed and kept; spaces(action="open", space="{handle}") opens it again'
    )


async def _delete(call: Call, given: args.SpacesCall) -> str:
    if not given.space:
        raise BadRequestError(
            "delete cannot be undone, so it wants the space by name: give `space`"
        )
    await call.app.spaces.delete(given.space)
    return f"space {given.space} is deleted"


_SPACES: dict[str, Callable[[Call, args.SpacesCall], Awaitable[str]]] = {
    "list": _list,
    "info": _info,
    "open": _open_space,
    "fork": _fork,
    "undo": _undo,
    "checkpoint": _checkpoint,
    "restore": _restore,
    "close": _close,
    "delete": _delete,
}
