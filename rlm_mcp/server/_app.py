"""What a server is made of, put together from its settings."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass

from ..lm import SubModel, choose, open_model
from ..loaders import Roots
from ..sandbox import Cache, Preparation
from ..settings import Settings
from ..space import Spaces
from ..store import Store
from ..trajectory import Recorder, open_exporter, wanted


@dataclass(frozen=True)
class App:
    """The parts that handlers of tools work with. Made inside a running event loop.

    Args:
        settings: what it was configured with.
        preparation: makes the sandbox ready, in the background.
        spaces: all spaces.
        roots: what may be read and written.
        model: answers sub-LLM calls.
        model_name: its name in litellm's notation, or `agent`.
        recorder: keeps what happens.
    """

    settings: Settings
    preparation: Preparation
    spaces: Spaces
    roots: Roots
    model: SubModel
    model_name: str
    recorder: Recorder

    async def close(self) -> None:
        """End every worker, and close the store and the model; may be called twice."""
        await self.spaces.close_all()
        await self.preparation.close()
        await self.model.aclose()
        await self.recorder.aclose()


def make_app(
    settings: Settings, model: SubModel | None = None, environ: Mapping[str, str] | None = None
) -> App:
    """Put a server together and begin to prepare its sandbox.

    Args:
        settings: its configuration.
        model: answers sub-LLM calls, instead of what the settings name.
        environ: where a provider's key is looked for; `os.environ` if left out.

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
    preparation.start()
    return App(
        settings=settings,
        preparation=preparation,
        spaces=Spaces(store, preparation, settings.limits),
        roots=roots,
        model=model or open_model(name),
        model_name=type(model).__name__ if model else name,
        recorder=recorder,
    )
