"""One call of a tool: what it works with, and what it spends."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from ..errors import RlmError, SubLLMError
from ..lm import (
    AGENT,
    NO_BUDGET,
    Account,
    Budget,
    InFlight,
    Questions,
    Rest,
    SubModel,
    Usage,
    tightest,
)
from ..sandbox import Answerer
from ..space import WAITS, Space
from . import _render as render
from ._app import App
from ._operations import OPERATIONS
from ._progress import Progress
from ._recording import Recording


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
        payer: of that run's code.
    """

    app: App
    progress: Progress
    recording: Recording = field(default_factory=Recording)
    usages: list[Usage] = field(default_factory=list)
    in_flight: dict[str, InFlight] = field(default_factory=dict)
    """Sub-LLM calls that code awaits, by the handle of the space it runs in."""
    rest: Rest = field(default_factory=Rest)
    """Answers that code asked for and has not been given yet."""
    questions: Questions = field(default_factory=Questions)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    depth: int = 0
    payer: Account | None = None
    budget: Budget = NO_BUDGET
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
        with self.progress.within():
            await self.app.preparation.wait(self.progress.say)
        space = await self.app.spaces.use(handle, create=handle == self.app.settings.space)
        self.recording.begin(handle)
        return space

    def named(self, handle: str) -> str | None:
        """The name of a space as calls have to give it: `None` for the default one's."""
        return None if handle == self.app.settings.space else handle

    async def model(self, space: Space) -> SubModel:
        """What answers the sub-LLM calls that this call makes in a space."""
        account = self.account(space)
        # Read by the first of many calls while the others come in, it would let some of them pass
        # the others by, and questions to the calling agent are numbered as they come.
        with contextlib.suppress(SubLLMError):  # each call says what is the matter, of its own
            await account.spent()
        return self.recording.model(self.app.calls.model(account))

    def account(self, space: Space) -> Account:
        """What pays for the sub-LLM calls that this call makes in a space."""
        if self.own_account is None:
            self.begin_account(space)
        assert self.own_account is not None
        return self.own_account

    def begin_account(self, space: Space) -> None:
        """Open the account of an execution, which begins now."""
        above = self.payer or self.app.account(space)
        default = self.app.settings.execution_budget
        budget, raised_by = tightest(
            (self.budget, "budget.{}"), (default, "{} in RLM_MCP_EXECUTION_BUDGET")
        )
        bounded = Account("this execution", budget, above, raised_by)
        self.own_account = above if budget == NO_BUDGET else bounded

    def begin_run(self, space: Space) -> Budget:
        """Let the space pay for a run that this call is; returns the budget of that run."""
        self.own_account = self.payer or self.app.account(space)
        budget, self.budget = self.budget, NO_BUDGET
        return budget

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
