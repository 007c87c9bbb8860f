"""One question without a client: variables, a recursive run over them, the answer as text."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ..errors import BadRequestError
from ..lm import AGENT, choose, prepare_model
from ..loaders import Bundle, Spool, from_stream, has_magic
from ..recursion import ANSWER, Observe, RunQuestion, RunResult
from ..sandbox import scratch_file
from ..settings import Settings
from ..space import Space, check_handle
from . import _arguments as args
from ._app import App, make_app
from ._call import Call
from ._handlers import load_bundle, load_variable
from ._progress import Progress
from ._recording import Recording
from ._recursion import running
from ._render import run_text

_MAX_ANSWER = 1 << 30


@dataclass(frozen=True)
class Piped:
    """A variable that comes through a pipe.

    Args:
        fd: descriptor of the pipe, which stays open.
        format: of what comes, as `load_variable` has them.
        name: what it is called.
    """

    fd: int
    format: str = "auto"
    name: str = "standard input"


@dataclass(frozen=True)
class Answered:
    """What a question came to.

    Args:
        result: of the run.
        text: the answer: a text as it is, else JSON or CSV, else a preview; empty without one.
        is_json: whether the text is JSON.
        preview: whether the text is only a preview, and the answer is in the fork of the run.
        kept: the spaces that are left, that of the variables first.
    """

    result: RunResult
    text: str
    is_json: bool
    preview: bool
    kept: tuple[str, ...]


async def answer_question(
    settings: Settings,
    question: RunQuestion,
    sources: Mapping[str, str | Piped],
    *,
    keep: str | None = None,
    as_json: bool = False,
    observe: Observe,
    environ: Mapping[str, str] | None = None,
) -> Answered:
    """Load variables into a space, let a root model answer, and clean up after an answer.

    Args:
        settings: of the server that this is for a moment.
        question: what to find out.
        sources: of the variables: `@PATH`, a pipe, else the text itself.
        keep: name of the space to use and to keep; left out, a new one that is removed again
            once there is an answer, unless the text is only a preview of it.
        as_json: write the answer as JSON where that is possible.
        observe: is told of each step.
        environ: where keys are looked for; `os.environ` if left out.

    Raises:
        RlmError: a source cannot be read, nobody can be asked, or the sandbox cannot be used.
    """
    await question.check()
    for name in sources:
        args.check_name(name)
    environ = os.environ if environ is None else environ
    settings, root = _with_models(settings, question, environ)
    handle = check_handle(keep) if keep is not None else f"run-{secrets.token_hex(4)}"
    named = [source for source in sources.values() if isinstance(source, str)]
    allowed = [found for source in named for found in _allowed(source)]
    settings = replace(settings, allow=(*settings.allow, *allowed), space=handle)
    app = make_app(settings, environ=environ)
    prepare_model(root)
    begun = False
    try:
        for name, source in sources.items():
            if isinstance(source, Piped):
                await _load_pipe(app, name, source)
                continue
            path = source.removeprefix("@") if source.startswith("@") else None
            given = args.LoadVariable(
                name=name, source=path, value=source if path is None else None
            )
            with _call(app, "load_variable", given) as call:
                call.recording.replied(await load_variable(call, given), False)
        with _call(app, "sub_rlm", args.SubRLM(question=question.text)) as call:
            space = await call.space(handle)
            call.begin_run(space)
            begun = True
            async with running(call, space, question, observe=observe) as (fork, result):
                text, form = await _text(fork, as_json) if result.answered else ("", "text")
            call.recording.replied(run_text(result), not result.answered)
        await app.runs.close()
        preview = form == "preview"
        if keep is None and result.answered and not preview:
            await _delete(app, handle)
        return Answered(result, text, form == "json", preview, _spaces_of(app, handle))
    finally:
        if keep is None and not begun:
            await _delete(app, handle)
        await app.close()


async def _load_pipe(app: App, name: str, piped: Piped) -> None:
    given = args.LoadVariable.model_construct(name=name, source=piped.name, format=piped.format)
    with _call(app, "load_variable", given) as call:
        space = await call.space(None)
        bundle = await _read_pipe(app, space, piped)
        reply = await load_bundle(call, space, name, bundle, piped.format)
        call.recording.replied(reply, False)


async def _read_pipe(app: App, space: Space, piped: Piped) -> Bundle:
    limits = app.settings.limits
    given_up = threading.Event()
    read = functools.partial(
        from_stream,
        piped.fd,
        max_bytes=limits.memory_mb << 20,
        spool=Spool(app.spaces.store.piped.folder(space.handle), limits.view_bytes),
        format=piped.format,
        name=piped.name,
        stopped=given_up.is_set,
    )
    try:
        return await asyncio.to_thread(read)
    except asyncio.CancelledError:
        given_up.set()  # nobody can end the thread while it waits for the other side
        raise


@contextlib.contextmanager
def _call(app: App, tool: str, given: object) -> Iterator[Call]:
    """A call as a client would make it, in the record like one."""
    call = Call(app, Progress(_untold))
    call.recording = Recording(app.recorder, tool, given, lambda: call.usage)
    with call.recording:
        yield call


def _with_models(
    settings: Settings, question: RunQuestion, environ: Mapping[str, str]
) -> tuple[Settings, str]:
    """The settings with models that can be asked, and the name of the root model."""
    sub = choose(settings.sub_model, environ)
    root = question.model or settings.root_model or sub
    if root == AGENT:
        raise BadRequestError(
            "there is no model to ask, and no calling agent here either: give --root-model "
            "(RLM_MCP_ROOT_MODEL) such as anthropic/claude-haiku-5-5, with that provider's key in "
            "the environment, or cli/claude (cli/codex, cli/gemini) for a command that is logged in"
        )
    return replace(settings, sub_model=root if sub == AGENT else sub), root


def _allowed(source: str) -> Sequence[Path]:
    """The file or folder that a person named, which is leave enough to read it."""
    if not source.startswith("@"):
        return ()
    path = Path(source[1:]).expanduser().absolute()
    while not path.exists() or (has_magic(str(path)) and not path.is_file()):
        if path == path.parent:
            return ()
        path = path.parent
    return (path,)


def _spaces_of(app: App, handle: str) -> tuple[str, ...]:
    handles = [row.handle for row in app.spaces.store.spaces()]
    runs = [found for found in handles if found.startswith(f"{handle}.rlm-")]
    return tuple(found for found in (handle, *runs) if found in handles)


async def _delete(app: App, handle: str) -> None:
    for name in _spaces_of(app, handle):
        await app.spaces.delete(name)


async def _text(fork: Space, as_json: bool) -> tuple[str, Literal["text", "json", "preview"]]:
    """The answer as text, and what that is."""
    descriptor = scratch_file()
    try:
        format = "json" if as_json else "auto"
        _, used = await fork.save(ANSWER, target=descriptor, format=format, suffix="")
        text = os.pread(descriptor, _MAX_ANSWER, 0).decode("utf-8", "replace")
        if used == "json":
            json.loads(text)  # it comes from the sandbox, and what follows relies on it
            return text, "json"
        return text, "text"
    except (BadRequestError, ValueError, RecursionError):
        return await fork.peek(target=ANSWER), "preview"  # it has no such form
    finally:
        os.close(descriptor)


async def _untold(_position: float, _total: float | None, _text: str) -> None:
    """There is no client to tell."""
