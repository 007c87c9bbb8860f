"""Who pays for a run, and what is kept of its budget so that it can come to an answer."""

from __future__ import annotations

from ..lm import KINDS, NO_BUDGET, Account, Budget, tightest
from ._question import RunQuestion

_KEPT_CALLS = 2
"""That code cannot make: one for the root model to react, one to conclude."""
_KEPT_PART = 0.2
"""Of all else, for the conclusion (a guess: it reads the conversation once more)."""
_KEPT_SECONDS = 30.0
"""At most (a guess: most models have answered by then)."""


def open_account(
    question: RunQuestion, payer: Account | None = None, most: Budget = NO_BUDGET
) -> Account:
    """The account of a run, which pays for all that it asks, runs below it included.

    Args:
        question: with the bounds that it was given.
        payer: of what asked for the run; its budgets hold as well.
        most: what any run may use.
    """
    calls = Budget(calls=question.max_llm_calls)
    budget, raised_by = tightest(
        (calls, "max_llm_calls"),
        (question.budget, "budget.{}"),
        (most, "{} in RLM_MCP_RUN_BUDGET"),
    )
    otherwise = "submit what you have, and put more into one call another time"
    return Account("this run", budget, payer, raised_by, otherwise)


def for_code(account: Account) -> Account:
    """The account of what the code of a run asks."""
    return account.keeping(_kept(account.budget, _KEPT_CALLS))


def for_turns(account: Account) -> Account:
    """The account of the root model's turns before it concludes."""
    return account.keeping(_kept(account.budget, _KEPT_CALLS - 1))


def _kept(budget: Budget, calls: int) -> Budget:
    kept = {
        kind: most * _KEPT_PART for kind in KINDS if (most := getattr(budget, kind)) is not None
    }
    if budget.calls is not None:
        kept["calls"] = min(calls, budget.calls - 1)
    if budget.seconds is not None:
        kept["seconds"] = min(kept["seconds"], _KEPT_SECONDS)
    return Budget.made(kept)
