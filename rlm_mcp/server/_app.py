"""What a server is made of, put together from its settings."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..lm import AGENT, HOW_TO_SET, Account, Calls, Router, SubModel, choose
from ..loaders import Roots
from ..recursion import Runs
from ..sandbox import Cache, Preparation
from ..settings import Settings
from ..space import Space, Spaces, Views
from ..store import Store
from ..trajectory import Recorder, open_exporter, wanted
from ._accounts import Accounts
from ._suspended import Suspended
from ._symbols import AT_ONCE

UNSET = f"\nYou are asked because no sub-model is set. {HOW_TO_SET}"
UNLISTED = (
    "\nIf your client offers no tool answer_sub_llm: it is listed where RLM_MCP_SUB_MODEL or "
    'RLM_MCP_ROOT_MODEL is `agent`. spaces(action="close") ends the code too.'
)


@dataclass(frozen=True)
class App:
    """The parts that handlers of tools work with. Made inside a running event loop.

    Args:
        settings: what it was configured with.
        preparation: makes the sandbox ready, in the background.
        spaces: all spaces.
        runs: the forks of recursive runs.
        roots: what may be read and written.
        calls: the way to the models that answer sub-LLM calls.
        accounts: pay for them.
        model_name: who answers if a request does not say, in litellm's notation, or `agent`.
        recorder: keeps what happens.
        suspended: the calls that wait for the calling agent's answers.
        parsers: bounds how many helpers parse code and documents at the same time.
    """

    settings: Settings
    preparation: Preparation
    spaces: Spaces
    runs: Runs
    roots: Roots
    calls: Calls
    accounts: Accounts
    model_name: str
    recorder: Recorder
    suspended: Suspended
    parsers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @property
    def agent_answers(self) -> bool:
        """Whether the calling agent answers what names no model."""
        return self.model_name == AGENT

    @property
    def answer_is_listed(self) -> bool:
        """Whether clients are offered the tool that hands in answers."""
        return _is_listed(self.model_name, self.settings)

    def account(self, space: Space) -> Account:
        """What pays for the sub-LLM calls of a space."""
        return self.accounts.of(space)

    async def close(self) -> None:
        """End every worker, and close the models and the store; may be called twice."""
        await self.suspended.close()
        await self.runs.close()
        await self.calls.aclose()
        await self.spaces.close_all()
        await self.preparation.close()
        await self.recorder.aclose()


def make_app(
    settings: Settings,
    model: SubModel | None = None,
    environ: Mapping[str, str] | None = None,
    agents: Mapping[str, SubModel] | None = None,
) -> App:
    """Put a server together and begin to prepare its sandbox.

    Args:
        settings: its configuration.
        model: answers sub-LLM calls, instead of what the settings name.
        environ: where a provider's key is looked for; `os.environ` if left out.
        agents: models that are made elsewhere, by the name that requests and settings give them.

    Raises:
        RlmError: the home folder or an allowed folder cannot be used.
    """
    roots = Roots(settings.allow)
    store = Store(settings.home, sync=settings.limits.sync)
    preparation = Preparation(Cache(settings.cache))
    environ = os.environ if environ is None else environ
    name = choose(settings.sub_model, environ)
    full = settings.record == "full"
    recorder = Recorder(
        store.spans(settings.record_mb << 20),
        settings.record,
        functools.partial(open_exporter, environ, texts=full) if wanted(environ) else None,
    )
    chosen = type(model).__name__ if model else name
    hint = "" if _is_listed(chosen, settings) else UNLISTED
    if chosen == AGENT and AGENT not in (settings.sub_model, environ.get("RLM_MCP_SUB_MODEL")):
        hint = UNSET
    # No path leads to what came through a pipe but that of the view which was made of it.
    viewed = Roots((*settings.allow, store.piped.folder()))
    views = Views(store, viewed, settings.cache / "lines")
    calls = Calls(
        model or Router(chosen, agents),
        chosen,
        store.answers,
        cache_mb=settings.cache_mb,
        in_flight=settings.in_flight,
        each=settings.call_budget,
        embed_model=settings.embed_model,
        call_seconds=settings.call_seconds,
    )
    accounts = Accounts(calls, settings.space_budget)
    spaces = Spaces(store, preparation, settings.limits, views, accounts.end)
    preparation.start()
    return App(
        settings=settings,
        preparation=preparation,
        spaces=spaces,
        runs=Runs(spaces),
        roots=roots,
        calls=calls,
        accounts=accounts,
        model_name=chosen,
        suspended=Suspended(spaces, settings.space, hint),
        recorder=recorder,
    )


def _is_listed(model_name: str, settings: Settings) -> bool:
    return AGENT in (model_name, settings.root_model)
