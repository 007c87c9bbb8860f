"""What guest code asks for `search`: which embedding model there is, and vectors of texts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ..errors import BadRequestError, SubLLMError
from ..lm import MAX_DIMENSIONS, Embedder, Strict, Usage, checked
from ..sandbox import Handed, WithFile, scratch_file
from ..space import MAX_SLOTS, Space

if TYPE_CHECKING:
    from ._call import Call

MAX_TEXTS, MAX_CHARS = 4_096, 8 << 20
"""Of one call; the guest sends less."""


class _Wanted(Strict):
    texts: Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)]
    slot: Annotated[int, Field(ge=0, lt=MAX_SLOTS)]
    dimensions: Annotated[int, Field(ge=1, le=MAX_DIMENSIONS)] | None = None


async def describe_model(call: Call, _space: Space, _fields: dict[str, Any]) -> dict[str, Any]:
    """Say which model makes vectors.

    Returns:
        `model`, which names it, `weight` of its ranking against that of words, `unasked`, how many
        texts a search may have embedded that did not ask for it, and `op`, the operation that does
        it. Or `none`, why there is none, and whether one is `set`.
    """
    embedder = call.app.calls.embedder
    try:
        model = await embedder.identity()
    except SubLLMError as error:
        return {"none": str(error), "set": bool(embedder.name)}
    op = "embed_wait" if embedder.waits else "embed"
    return {
        "model": model, "weight": embedder.weight, "unasked": embedder.unasked, "op": op,
    }  # fmt: skip


async def embed(call: Call, space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Make vectors on this machine, in the time of the code that asks."""
    return await _embed(call, space, fields, waits=False)


async def embed_wait(call: Call, space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Ask a provider for vectors; the time of the code that asks stands still."""
    return await _embed(call, space, fields, waits=True)


async def _embed(
    call: Call, space: Space, fields: dict[str, Any], *, waits: bool
) -> dict[str, Any]:
    """Hand over the vectors of texts: `dimensions`, and in a file a signed byte for each number."""
    embedder: Embedder = call.app.calls.embedder
    if embedder.waits != waits and embedder.name:
        raise BadRequestError("the embedding model is asked by another operation; see embed_model")
    wanted = await asyncio.to_thread(_read, fields)
    number = len(call.usages)
    call.usages.append(Usage())

    def spent(usage: Usage) -> None:
        call.usages[number] += usage

    model = await call.model(space)
    found = await embedder.embed(space.handle, wanted.texts, wanted.dimensions, model, spent)
    output = await asyncio.to_thread(scratch_file, found.data)
    return WithFile({"dimensions": found.dimensions}, Handed(output, wanted.slot))


def _read(fields: dict[str, Any]) -> _Wanted:
    wanted = checked(_Wanted, fields, "embed")
    if sum(map(len, wanted.texts)) > MAX_CHARS:
        raise BadRequestError(f"embed wants at most {MAX_CHARS:,} characters in a call")
    # A lone surrogate can be sent to nobody.
    texts = [text.encode("utf-8", "replace").decode() for text in wanted.texts]
    if not all(text.strip() for text in texts):
        raise BadRequestError("embed wants no blank texts")
    return wanted.model_copy(update={"texts": texts})
