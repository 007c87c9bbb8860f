"""Recursive runs as the server carries them out: for a tool, for guest code, and for a command."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Never, TypeGuard

from ..errors import BadRequestError, RlmError, SubLLMError
from ..lm import NO_BUDGET, Account, Budget, SubModel, Usage
from ..quantities import counted
from ..recursion import (
    ANSWER,
    NOT_HERE,
    Observe,
    RunQuestion,
    RunResult,
    Step,
    load_prompt,
    open_account,
    run_rlm,
)
from ..sandbox import scratch_file
from ..space import Loaded, Space
from ._course import Course, Current
from ._recording import note_usage

if TYPE_CHECKING:
    from ._call import Call

MAX_BYTES = 30 << 20
"""Of what is passed to a run from guest code and back; the guest has the same bound."""


@contextlib.asynccontextmanager
async def running(
    call: Call,
    parent: Space,
    question: RunQuestion,
    *,
    commit: int | None = None,
    variables: bytes = b"",
    observe: Observe | None = None,
) -> AsyncIterator[tuple[Space, RunResult]]:
    """Carry out a run; its fork has a worker for as long as the block is.

    Args:
        call: that it is a part of; what the run uses is added to it.
        parent: the space that is forked.
        question: what to find out.
        commit: of the parent that the fork begins at; left out, its last.
        variables: pickled in the parent, for the fork.
        observe: is told of each step, besides the client.

    Raises:
        SubLLMError: runs are nested too deeply.
        BadRequestError: the question or the variables cannot be used.
    """
    settings = call.app.settings
    if call.depth >= settings.max_depth:
        raise SubLLMError(
            f"recursive runs may be nested {settings.max_depth} deep (RLM_MCP_MAX_DEPTH), and "
            "this is the deepest: do the work here, with sub_llm_map where text has to be read",
            kind="budget",
        )
    question = replace(question, model=question.model or settings.root_model)
    prompt = await asyncio.to_thread(load_prompt, settings.rlm_prompt)
    number = len(call.usages)
    call.usages.append(Usage())
    call.progress.say(0.0, "waiting for a place among the recursive runs")
    async with call.app.runs.fork(parent.handle, commit, call.depth) as fork:
        course = Course(call, fork)

        def tell(step: Step) -> None:
            call.usages[number] = step.usage
            course.follow(step)
            if observe is not None:
                observe(step)

        def model(account: Account) -> SubModel:
            return Current(course, call.recording.model(call.app.calls.model(account)))

        with course:
            result = await run_rlm(
                fork,
                question,
                prompt=prompt,
                model=model,
                answer=course.answer,
                show=course.show,
                account=open_account(question, call.account(parent), settings.run_budget),
                variables=variables,
                observe=tell,
                call_seconds=settings.call_seconds,
            )
        call.usages[number] = result.usage
        call.recording.span.note(
            fork=result.space, ended=result.ended, iterations=result.iterations
        )
        yield fork, result


async def hand_over(fork: Space, space: Space, into: str) -> Loaded:
    """Copy the answer of a run into a variable of the space that was forked."""
    return await fork.copy_to(space, ANSWER, into, format="answer")


async def sub_rlm(call: Call, space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Carry out a run that guest code asked for, on a fork of what it found."""
    variables, names = fields.get("variables"), fields.get("names")
    question = RunQuestion(
        fields.get("question", ""),
        fields.get("schema"),
        fields.get("model"),
        fields.get("max_iterations", 20),
        fields.get("max_llm_calls", 50),
        tuple(names) if _is_names(names) else None,
        _budget(fields.get("budget")),
    )
    await question.check()
    data = await asyncio.to_thread(_decoded, variables)
    begun = call.recording.span.begin("sub_rlm", texts={"question": question.text})
    part = replace(call, recording=call.recording.under(begun))
    try:
        with begun, call.progress.within():
            run = running(part, space, question, commit=space.base, variables=data)
            async with run as (fork, result):
                note_usage(begun, result.usage)
                if not result.answered:
                    begun.end("failed")
                    return _failed(result)
                value = await _pickled_answer(fork)
    except SubLLMError as error:
        return _error(str(error), error, Usage())
    note = f"sub_rlm: {result.why}; this is its best answer so far (space {result.space})"
    return {"value": value, "note": note if result.best else ""}


def _is_names(found: object) -> TypeGuard[list[str]]:
    return (
        isinstance(found, list)
        and len(found) <= 1000
        and all(isinstance(name, str) for name in found)
    )


def _budget(found: object) -> Budget:
    if found is None:
        return NO_BUDGET
    if not isinstance(found, dict):
        raise BadRequestError('budget is a dict such as {"calls": 100, "usd": 0.5}')
    try:
        return Budget.of(found)
    except ValueError as error:
        raise BadRequestError(str(error)) from None


def _decoded(found: object) -> bytes:
    if not isinstance(found, str) or len(found) > MAX_BYTES * 4 // 3 + 4:
        raise BadRequestError("the variables for sub_rlm must be pickled, at most 30 MB")
    try:
        return base64.b64decode(found, validate=True)
    except ValueError:
        raise BadRequestError("the variables for sub_rlm must be pickled") from None


async def _pickled_answer(fork: Space) -> str:
    descriptor = scratch_file()
    try:
        await fork.save(ANSWER, target=descriptor, format="answer", suffix="")
        data = await asyncio.to_thread(os.pread, descriptor, MAX_BYTES + 1, 0)
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        raise BadRequestError(f"the answer is over 30 MB; it is `{ANSWER}` in space {fork.handle}")
    return (await asyncio.to_thread(base64.b64encode, data)).decode()


def _failed(result: RunResult) -> dict[str, Any]:
    cause = f": {str(result.error).rstrip('.')}" if result.error else ""
    done = counted(result.iterations, "iteration")
    return _error(
        f"sub_rlm came to no answer after {done} ({result.why}){cause}. "
        f"What was reached is in space {result.space}",
        result.error,
        result.usage,
    )


def _error(message: str, error: RlmError | None, usage: Usage) -> dict[str, Any]:
    known = error if isinstance(error, SubLLMError) else None
    return {
        "error": {
            "message": message,
            "kind": known.kind if known else "failed",
            "provider": known.provider if known else "",
            "model": known.model if known else "",
            "spent": [usage.input_tokens, usage.output_tokens, usage.usd],
        }
    }


async def refuse_submit(_call: Call, _space: Space, _fields: dict[str, Any]) -> Never:
    """Say that there is no run here: the loop of one answers this itself."""
    raise BadRequestError(NOT_HERE)
