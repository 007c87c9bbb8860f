"""Recursion: another model is the root of its own loop, on a fork of a space."""

from ._desk import NOT_HERE
from ._loop import run_rlm
from ._paying import open_account
from ._question import MAX_ITERATIONS, MAX_LLM_CALLS, RunQuestion
from ._result import ANSWER, Observe, RunResult, Step
from ._runs import Runs
from ._words import load_prompt

__all__ = [
    "ANSWER",
    "MAX_ITERATIONS",
    "MAX_LLM_CALLS",
    "NOT_HERE",
    "Observe",
    "RunQuestion",
    "RunResult",
    "Runs",
    "Step",
    "load_prompt",
    "open_account",
    "run_rlm",
]
