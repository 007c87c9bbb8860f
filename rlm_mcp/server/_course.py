"""A recursive run while it goes on: what its code may ask, what is shown, told and recorded."""

from __future__ import annotations

import re
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING

from ..lm import NO_BUDGET, Account, Answer, Request, SubModel, Usage
from ..recursion import Step
from ..sandbox import Answerer
from ..space import Execution, Space
from ..trajectory import NOTHING
from ._render import execution_text

if TYPE_CHECKING:
    from ._call import Call

SHOWN = 8_000
"""Characters of an execution that a root model is shown, as for `exec_code`."""
_IN_CODE = (
    (re.compile(r'peek\("(Out\[\d+\])", start=\.\.\.\) or find=\.\.\.'), r"\1"),
    (re.compile(r"or raise timeout_s"), "in smaller steps"),
)
"""A root model has no tools: what a reply names as the next call, it can only do in code."""
_DOING = {"asking": "asking the root model", "running": "running", "concluding": "concluding"}


class Course:
    """A run as it goes: what its code may ask, and what is shown and recorded of it.

    Args:
        call: that the run is a part of.
        fork: that it works on.
    """

    def __init__(self, call: Call, fork: Space) -> None:
        self.work = replace(
            call, usages=[], in_flight={}, depth=call.depth + 1, budget=NO_BUDGET, own_account=None
        )
        """The call that the code of the run is carried out for."""
        self._call = call
        self._fork = fork
        self._iteration = NOTHING

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.work.close()
        for span in (self.work.recording.span, self._iteration):
            if span is not self._call.recording.span:
                span.__exit__(kind, error, traceback)

    def follow(self, step: Step) -> None:
        """Say what the run is doing now, to the client and in the record."""
        what = f"{_DOING[step.doing]} {step.line}".rstrip()
        self._call.progress.say(
            (step.iteration - 1) / step.iterations,
            f"{step.space}: iteration {step.iteration} of {step.iterations}, "
            f"{step.usage.calls} LLM calls, {what}",
        )
        if step.doing == "running":
            self.work.usages.clear()
            self.work.in_flight = {}
            self.work.begin_account(self._fork)
            span = self._iteration.begin("execution", space=step.space, texts={"code": step.code})
        else:
            self._iteration.end()
            span = self._iteration = self._call.recording.span.begin(
                "iteration", space=step.space, number=step.iteration
            )
        self.work.recording = self._call.recording.under(span, lambda: self.work.usage)

    def answer(self, account: Account) -> Answerer:
        """Answers what the code asks."""
        self.work.payer = account
        return self.work.answer(self._fork)

    def show(self, execution: Execution) -> str:
        """What the root model is shown of an execution."""
        self.work.close()
        self.work.recording.executed(execution)
        text = execution_text(execution, self._fork.handle, self.work.usage, SHOWN, in_run=True)
        for call, instead in _IN_CODE:
            text = call.sub(instead, text)
        return text


class Current:
    """The stage that records what a run asks as a part of what it is doing at the moment.

    Args:
        course: of the run.
        model: that answers.
    """

    def __init__(self, course: Course, model: SubModel) -> None:
        self._course = course
        self._model = model

    async def ask(self, request: Request) -> Answer:
        """Answer one request."""
        return await self._course.work.recording.model(self._model).ask(request)

    async def estimate(self, request: Request) -> Usage:
        """What a request would use."""
        return await self._model.estimate(request)

    async def aclose(self) -> None:
        """Do nothing: the model belongs to others."""
