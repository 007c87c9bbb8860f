"""What a recursive run came to, and what it tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ..errors import RlmError
from ..lm import Usage

ANSWER = "submitted"
"""The variable of a run's space that holds its answer; the guest has the same name."""

Ending = Literal["submitted", "said", "iterations", "calls", "budget", "stuck", "failed"]
"""Submitted, or said in words instead; out of iterations, of calls, of what else it may use;
getting nowhere; an error."""

_WHY: dict[Ending, str] = {
    "submitted": "submitted",
    "said": "said in words and never submitted",
    "iterations": "the iterations ran out",
    "calls": "the LLM calls ran out",
    "budget": "the budget ran out",
    "stuck": "the same again and again",
    "failed": "failed",
}


@dataclass(frozen=True)
class RunResult:
    """What a run came to. The answer itself is the variable `submitted` of its space.

    Args:
        space: handle of the fork that it worked on, which is kept.
        ended: how it ended.
        answered: whether there is an answer; after running out it is the best one so far.
        iterations: how often the root model was asked to go on.
        usage: what all calls of models used, those of runs below included.
        seconds: it took.
        error: why there is no answer, if one error was the cause.
    """

    space: str
    ended: Ending
    answered: bool
    iterations: int
    usage: Usage
    seconds: float
    error: RlmError | None = None

    @property
    def best(self) -> bool:
        """Whether the answer is only the best one that was reached."""
        return self.answered and self.ended not in ("submitted", "said")

    @property
    def why(self) -> str:
        """How it ended, in words."""
        return _WHY[self.ended]


@dataclass(frozen=True)
class Step:
    """What a run is doing.

    Args:
        space: handle of its fork.
        iteration: counted from 1.
        iterations: the most there may be.
        doing: `asking`, `running` code, or `concluding`.
        code: that is run.
        usage: what it has used so far.
    """

    space: str
    iteration: int
    iterations: int
    doing: Literal["asking", "running", "concluding"]
    code: str = ""
    usage: Usage = field(default_factory=Usage)

    @property
    def line(self) -> str:
        """The line of the code that says most."""
        lines = [line.strip() for line in self.code.splitlines()]
        telling = (line for line in lines if line and not line.startswith(("import", "from", "#")))
        return next(telling, "")[:100]


Observe = Callable[[Step], None]


def unobserved(_step: Step) -> None:
    """Look away."""
