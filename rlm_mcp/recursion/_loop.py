"""The loop of a recursive run: ask the root model, run its code in the fork, show what it did."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import anyio.to_thread

from ..errors import RlmError, SubLLMError
from ..lm import (
    DEFAULT_TIMEOUT_S,
    Account,
    Answer,
    Request,
    SchemaMismatchError,
    SubModel,
    UnusableSchemaError,
    ask_one,
    read_data,
)
from ..sandbox import Answerer, scratch_file
from ..space import Execution, Space
from ._desk import Desk
from ._paying import for_code, for_turns, open_account
from ._question import RunQuestion
from ._result import Ending, Observe, RunResult, Step, unobserved
from ._talk import Talk, whole
from ._words import (
    CONCLUDE,
    CUT,
    EMPTY,
    NO_CODE,
    NOT_SEEN,
    SAME_CODE,
    SAME_ERROR,
    first_message,
    heading,
)

CODE_SECONDS = 120.0
"""For the code of one iteration, as for `exec_code`."""
_LAST_SECONDS = 5.0
"""For code that only submits the answer, also when no time is left."""
REMINDERS = 2
"""Replies without code after which a reply in words is taken as the answer."""
STUCK = 4
"""Times that the same code, or the same error, may come before the run is ended (a guess)."""
_MAX_REPLY = 200_000
_LISTED = 40

_log = logging.getLogger(__name__)


async def run_rlm(
    space: Space,
    question: RunQuestion,
    *,
    prompt: str,
    model: Callable[[Account], SubModel],
    answer: Callable[[Account], Answerer],
    show: Callable[[Execution], str],
    account: Account | None = None,
    variables: bytes = b"",
    observe: Observe = unobserved,
    call_seconds: float = DEFAULT_TIMEOUT_S,
) -> RunResult:
    """Let a root model answer a question in a space of its own.

    Args:
        space: a fork that nobody else uses; the answer is left in its variable `submitted`.
        question: what to find out.
        prompt: the instructions for the root model.
        model: gives what answers calls that an account pays for, such as a `Budgeted`; asked as
            the root model, by the name in the question.
        answer: given who pays for what code in the space asks, returns what answers that code.
        show: renders an execution for the root model.
        account: of the run; left out, one with the bounds of the question.
        variables: pickled in another space, for this one.
        observe: is told of each step.
        call_seconds: for one turn of the root model.

    Returns:
        How it ended. Errors of models and of the space are part of it; only a question that
        cannot be asked is raised.

    Raises:
        BadRequestError: the question or the variables cannot be used.
    """
    await question.check()
    account = account or open_account(question)
    run = _Run(space, question, prompt, model, answer, show, account, observe, call_seconds)
    return await run.carry_out(variables)


class _Run:
    def __init__(
        self,
        space: Space,
        question: RunQuestion,
        prompt: str,
        model: Callable[[Account], SubModel],
        answer: Callable[[Account], Answerer],
        show: Callable[[Execution], str],
        account: Account,
        observe: Observe,
        call_seconds: float,
    ) -> None:
        self._space = space
        self._question = question
        self._prompt = prompt
        self._account = account
        self._turns, self._end = model(for_turns(account)), model(account)
        self._code_account = for_code(account)
        self._desk = Desk(question.schema)
        self._answer = self._desk.before(answer(self._code_account))
        self._call_seconds = call_seconds
        self._least_seconds = 0.1
        self._show = show
        self._observe = observe
        self._iteration = 0
        self._reminders = 0
        self._code, self._error = _Repeats(), _Repeats()
        self._ending: Ending | None = None
        self._talk = Talk(prompt, question.text)

    async def carry_out(self, variables: bytes) -> RunResult:
        begin = time.monotonic()
        previews = await self._begin(variables)
        first = first_message(self._question, previews, self._account.budget)
        self._talk = Talk(self._prompt, first)
        error: RlmError | None = None
        unasked = 0
        try:
            ended = await self._iterate()
        except SubLLMError as failure:
            ended, error = "failed", failure
            if failure.kind == "budget":
                ended, unasked = self._out_of(), int(not failure.calls)
        except RlmError as failure:
            ended, error = "failed", failure
        except Exception as fault:
            # A fault of ours: what was paid for is in the fork, and the caller is told which.
            _log.exception("a recursive run failed")
            name = type(fault).__name__
            ended, error = "failed", RlmError(f"rlm-mcp failed at it ({name}); see its log")
        if not self._desk.taken and ended != "failed":
            error = await self._conclude() or error
        return RunResult(
            self._space.handle,
            ended,
            self._desk.taken,
            self._iteration - unasked,
            self._account.usage,
            time.monotonic() - begin,
            None if self._desk.taken else error,
        )

    def _out_of(self) -> Ending:
        """What ran out, where the next turn would go over a budget."""
        calls = self._account.left().calls
        return "calls" if calls is not None and calls <= 1 else "budget"

    async def _begin(self, variables: bytes) -> str:
        descriptor = await anyio.to_thread.run_sync(scratch_file, variables)
        try:
            names = self._question.names
            loaded = await self._space.begin_run(descriptor, len(variables), names)
        finally:
            os.close(descriptor)
        return loaded.preview

    async def _iterate(self) -> Ending:
        question = self._question
        for self._iteration in range(1, question.max_iterations + 1):
            self._tell("asking")
            reply = await self._ask()
            shown = await self._react(reply)
            if self._desk.taken:
                return "said" if self._ending == "said" else "submitted"
            left = question.max_iterations - self._iteration
            head = heading(self._iteration, question, self._account.left(), left)
            self._talk.add(reply.text, shown, head)
            if self._ending is not None:
                return self._ending
        return "iterations"

    async def _ask(
        self, more: str = "", schema: dict[str, Any] | None = None, *, last: bool = False
    ) -> Answer:
        """Ask the root model; a conversation over its window is shortened as long as that helps."""
        while True:
            request = Request(
                self._talk.prompt(more), self._question.model, schema=schema,
                timeout_s=self._call_seconds,
            )  # fmt: skip
            # What a model raises beside `SubLLMError` is a fault, and ends the run as one.
            reply = await ask_one(self._end if last else self._turns, request)
            if isinstance(reply, Answer):
                return replace(reply, text=whole(reply.text))
            if reply.kind != "context" or not self._talk.halve():
                raise reply

    async def _react(self, reply: Answer) -> str:
        """Carry out what the model wrote; returns what it is shown."""
        text = reply.text[:_MAX_REPLY]
        blocks, more, final, literal = _parts(await self._space.read_reply(text))
        if not blocks and final is None:
            return await self._remind(reply)
        self._reminders = 0
        parts: list[str] = []
        for number, code in enumerate(blocks, 1):
            label = f"[block {number} of {len(blocks)}]\n" if len(blocks) > 1 else ""
            shown, failed = await self._execute(code)
            parts.append(label + shown)
            if self._desk.taken:
                return ""
            if failed:
                left = len(blocks) - number + more
                if left or final:
                    parts.append("[what came after this in your reply was not carried out]")
                return "\n".join(parts)
        if more:
            parts.append(f"[{more} further blocks were not run: write one block and wait]")
        if final is not None and blocks and literal:
            parts.append(NOT_SEEN)
        elif final is not None:
            shown, _ = await self._execute(final)
            parts.append(shown)
        return "\n".join(parts)

    async def _execute(self, code: str) -> tuple[str, bool]:
        """Run code; returns what the model is shown, and whether it failed."""
        self._tell("running", code)
        execution = await self._space.execute(
            code, timeout_s=self._code_seconds(), keep_chars=8_000, answer=self._answer
        )
        if execution.lost is not None:
            self._desk.taken = False
        shown = self._show(execution)
        error = execution.error or ""
        if "NameError" in error[-500:]:
            shown += await self._names()
        last_line = error.strip().rpartition("\n")[2]
        times = self._code.count(code), self._error.count(last_line)
        if max(times) >= STUCK and not self._desk.taken:
            self._ending = "stuck"
        notes = [note for n, note in zip(times, (SAME_CODE, SAME_ERROR), strict=True) if n > 1]
        return "\n".join([shown, *notes]), execution.failed

    def _code_seconds(self) -> float:
        return max(min(CODE_SECONDS, self._code_account.seconds_left()), self._least_seconds)

    async def _names(self) -> str:
        found = await self._space.variables(_LISTED)
        return f"\n[variables: {', '.join(variable.name for variable in found) or 'none'}]"

    async def _remind(self, reply: Answer) -> str:
        """React to a reply in which there is neither code nor an answer."""
        text = reply.text.strip()
        self._reminders += 1
        if self._reminders <= REMINDERS:
            return (CUT if reply.truncated else "") + (NO_CODE if text else EMPTY)
        if not text:
            self._ending = "stuck"
            return ""
        problem = await self._submit_text(text)
        if self._desk.taken:
            self._ending = "said"
        elif self._reminders >= REMINDERS + STUCK:
            self._ending = "stuck"
        return f"{problem}\n{NO_CODE}"

    async def _submit_text(self, text: str) -> str:
        """Hand in an answer that was written in words; returns what is wrong with it."""
        schema = self._question.schema
        code = f"SUBMIT({text!r})"
        if schema is not None:
            try:
                value = await anyio.to_thread.run_sync(read_data, text, schema)
            except (SchemaMismatchError, UnusableSchemaError) as error:
                return f"This was taken as your answer, and it does not fit the schema: {error}"
            code = f"SUBMIT(__import__('json').loads({json.dumps(value)!r}))"
        shown, _ = await self._execute(code)
        return shown

    async def _conclude(self) -> RlmError | None:
        """Ask for the best answer so far; returns why there is none."""
        self._tell("concluding")
        self._least_seconds = _LAST_SECONDS
        schema = self._question.schema
        try:
            reply = await self._ask(CONCLUDE, schema, last=True)
            if schema is not None:
                await self._submit_text(json.dumps(reply.data))
                return None
            blocks, _, final, _ = _parts(await self._space.read_reply(reply.text[:_MAX_REPLY]))
            submitting = [code for code in blocks if "SUBMIT" in code or "FINAL" in code]
            for code in [*submitting[:1], *([final] if final else [])]:
                if not self._desk.taken:
                    await self._execute(code)
            words = _words(reply.text) if blocks else reply.text.strip()
            if not self._desk.taken and words:
                await self._submit_text(words)
            elif not self._desk.taken:
                said = "code and no answer" if blocks else "nothing"
                return RlmError(f"asked for its best answer so far, the model wrote {said}")
        except RlmError as error:
            return error
        return None

    def _tell(self, doing: Literal["asking", "running", "concluding"], code: str = "") -> None:
        most, usage = self._question.max_iterations, self._account.usage
        self._observe(Step(self._space.handle, self._iteration, most, doing, code, usage))


class _Repeats:
    """Counts how often the same text came one time after the other."""

    def __init__(self) -> None:
        self._last = ""
        self._times = 0

    def count(self, text: str) -> int:
        """How often this text came in a row, 0 for none."""
        self._times = self._times + 1 if text and text == self._last else int(bool(text))
        self._last = text
        return self._times


def _words(text: str) -> str:
    """What stands outside of fenced code."""
    return "\n".join(text.split("```")[::2]).strip()


def _parts(found: dict[str, Any]) -> tuple[list[str], int, str | None, bool]:
    """What `rlm_guest._reply.read` says, checked: it comes from the guest."""
    blocks, more, final = found.get("blocks"), found.get("more"), found.get("final")
    return (
        [code for code in blocks[:10] if isinstance(code, str)] if isinstance(blocks, list) else [],
        more if type(more) is int and 0 < more < _MAX_REPLY else 0,
        final if isinstance(final, str) else None,
        found.get("literal") is True,
    )
