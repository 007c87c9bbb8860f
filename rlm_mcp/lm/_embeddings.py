"""Who turns texts into vectors, by the one name that is set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Never, Protocol
from urllib.parse import urlsplit

from ..errors import SubLLMError
from ._keys import address_of
from ._model import SubModel
from ._types import Usage

LOCAL = "model2vec"
"""Before the name of a model in a folder, which is run on this machine."""
_THIS_MACHINE = {"ollama": "", "lm_studio": None, "llamafile": "", "hosted_vllm": None}
"""Providers whose models run on servers of the user's own; an empty text where litellm asks this
machine unless an address is set."""

HOW_TO_SET = (
    "Set RLM_MCP_EMBED_MODEL in the environment of the rlm-mcp server and start it again: "
    "model2vec/FOLDER (a static model in a folder, run on this machine), ollama/nomic-embed-text, "
    "or openai/text-embedding-3-small (with its key). Without one, search ranks by words alone"
)


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of texts.

    Args:
        dimensions: numbers of a vector.
        data: the directions of all, one after the other, a signed byte for each number.
    """

    dimensions: int
    data: bytes


Spent = Callable[[Usage], None]
"""Is told of what was used, as it is."""


class Embedder(Protocol):
    """Turns texts into vectors; safe to use from many tasks of one event loop at once."""

    @property
    def name(self) -> str:
        """Of the model, as it was set."""
        ...

    @property
    def weight(self) -> float:
        """How much its ranking counts, that of words being 1."""
        ...

    @property
    def unasked(self) -> int:
        """How many texts a search may have embedded that did not ask for it."""
        ...

    @property
    def waits(self) -> bool:
        """Whether others do the work, so that the time of guest code stands still."""
        ...

    async def identity(self) -> str:
        """What names the model and tells nothing else; vectors of another one are of no use.

        Raises:
            SubLLMError: there is no model, or it cannot be read.
        """
        ...

    async def embed(
        self,
        owner: str,
        texts: Sequence[str],
        dimensions: int | None,
        model: SubModel,
        spent: Spent,
    ) -> Embedded:
        """The vectors of texts.

        Args:
            owner: the space that they are of.
            texts: at least one, none of them blank.
            dimensions: that known vectors must have to be of use; new ones may have others.
            model: the way to providers, with its accounts.
            spent: is told what it costs, in vain or not.

        Raises:
            SubLLMError: it cannot be done.
        """
        ...

    async def aclose(self) -> None:
        """Give back what it holds; may be called twice."""
        ...


class NoEmbedder:
    """Stands in where no model is set."""

    name = ""
    weight = 0.0
    unasked = 0
    waits = False

    async def identity(self) -> str:
        """Raise `SubLLMError` of kind `no_model`."""
        self._refuse()

    async def embed(
        self,
        owner: str,
        texts: Sequence[str],
        dimensions: int | None,
        model: SubModel,
        spent: Spent,
    ) -> Embedded:
        """Raise `SubLLMError` of kind `no_model`."""
        self._refuse()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to give back."""

    def _refuse(self) -> Never:
        text = f"no embedding model is set. {HOW_TO_SET}."
        raise SubLLMError(text, kind="no_model", calls=0)


UNASKED_OF_SERVER = 500
"""Texts that a search may have a server on this machine embed unasked: some seconds to a minute for
a small network without a graphics card (a guess)."""


def unasked_of(name: str) -> int:
    """Return how many texts of a search a model of litellm's notation gets unasked.

    None where it costs money or texts leave this machine: those are for the user to decide.
    """
    return UNASKED_OF_SERVER if is_on_this_machine(name) else 0


def is_on_this_machine(name: str) -> bool:
    """Whether a model of litellm's notation runs here: its texts go nowhere and cost nothing."""
    provider = name.partition("/")[0]
    if provider not in _THIS_MACHINE:
        return False
    address = address_of(name) or _THIS_MACHINE[provider]
    if address is None:
        return False
    return not address or (urlsplit(address).hostname or "") in ("localhost", "127.0.0.1", "::1")


def identity_of(name: str, *parts: str) -> str:
    """Return what names a model for guests: its name, and a digest of what else decides."""
    digest = hashlib.sha256("\0".join((name, *parts)).encode("utf-8", "surrogatepass"))
    return f"{os.path.basename(name)[:100]} {digest.hexdigest()[:16]}"  # noqa: PTH119
