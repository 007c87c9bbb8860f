"""What each tool does: parse, call the space, render. Nothing here is worth testing twice."""

from __future__ import annotations

import asyncio
import os
from pathlib import PurePath
from typing import Any

from ..errors import BadRequestError, RlmError
from ..lm import Attachment
from ..loaders import (
    Bundle,
    convert,
    converted,
    fetch,
    inline,
    is_url,
    open_source,
    open_target,
    parse,
    run_command,
    scratch,
)
from ..recursion import ANSWER, RunQuestion
from ..space import Space
from . import _arguments as args
from . import _render as render
from ._app import App
from ._call import Call
from ._provenance import Provenance
from ._questions_text import PEEKED, peeked
from ._recursion import hand_over, running
from ._reply import Reply

_COPY = "space:"
_COMMAND = "command:"
_TABLES = {"parquet": "to_parquet", "arrow": "to_arrow"}
"""Formats that a helper process writes, since the guest has no library for them."""
_TABLE_SUFFIXES = {".parquet": "parquet", ".feather": "arrow", ".arrow": "arrow"}
ANSWER_CHARS = 6_000
"""Of an answer in words that `sub_rlm` shows; more would crowd a context that it is to spare."""


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
    return await load_bundle(call, space, name, await _open_any(call.app, given), given.format)


async def load_bundle(call: Call, space: Space, name: str, bundle: Bundle, format: str) -> str:
    """Set a variable from an open source, which is closed.

    Args:
        call: that it is a part of.
        space: that gets the variable.
        name: of the variable.
        bundle: the source.
        format: as the caller asked for it.

    Raises:
        RlmError: the source cannot be read, or its content is not of the format.
    """
    if bundle.kind == "view":
        with bundle:
            loaded = await space.load_view(
                name,
                path=bundle.path,
                named=bundle.origin.path,
                source=bundle.fd,
                format=format,
            )
            return render.loaded_text(name, loaded, space.handle, {}, bundle.notes)
    provenance = Provenance(bundle)
    try:
        bundle = await converted(bundle, format, call.app.settings.limits.memory_mb << 20)
        provenance.bundle = bundle
        chosen = format if format != "auto" else bundle.format
        if bundle.format == "columns":
            chosen = bundle.format

        async def answer(fields: dict[str, Any]) -> dict[str, Any]:
            if fields.get("op") != "parse":
                return await provenance.answer(fields)
            limit, end = call.app.settings.limits.memory_mb << 20, os.fstat(bundle.fd).st_size
            try:
                return await parse(call.app.parsers, bundle.fd, end, fields, limit)
            except RlmError as error:
                return {"refused": str(error)}

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
            answer=answer,
        )
    finally:
        bundle.close()
        await provenance.close()
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
        begun=lambda: call.begin_account(space),
    )
    call.recording.executed(execution)
    text = render.execution_text(
        execution, space.handle, call.usage, given.max_chars, call.left(space),
        named=call.named(space.handle) is not None,
    )  # fmt: skip
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
        "space": call.named(space.handle),
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
        "max_tokens": given.max_tokens,
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
        given.question, given.schema_, given.model, given.max_iterations, given.max_llm_calls,
        names, call.begin_run(space),
    )  # fmt: skip

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
    shown = await fork.peek(target=ANSWER, space=fork.handle)
    if shown.startswith("str "):
        shown = await fork.peek(target=ANSWER, space=fork.handle, length=ANSWER_CHARS)
    return shown


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
