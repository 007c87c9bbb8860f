"""What guest code may ask of the server, by the name of the operation.

Each is given the call of the tool that runs the code, the space it runs in, and the fields that
the guest sent, which may be an attacker's. What it raises as an `RlmError` the guest sees as a
refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..lm import BatchProgress, CallLimits, InFlight, Usage, answer_guest, estimate_guest
from ..space import Space
from ._embedding import describe_model, embed, embed_wait
from ._recursion import refuse_submit, sub_rlm
from ._render import usage_text
from ._symbols import find_symbols

if TYPE_CHECKING:
    from ._call import Call

Operation = Callable[["Call", Space, dict[str, Any]], Awaitable[dict[str, Any]]]


def _say(call: Call, progress: BatchProgress) -> None:
    call.progress.say(
        progress.done / max(progress.total, 1),
        f"sub-LLM: {progress.done} of {progress.total} done, {usage_text(progress.usage)}",
    )


async def sub_llm(call: Call, space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Ask the sub-model about each prompt of a list."""
    number = len(call.usages)
    call.usages.append(Usage())
    asked = fields.get("requests")
    count = len(asked) if isinstance(asked, list) else 1
    # Of the map that these are a part of; read before it is checked.
    before, total = (n if type(n := fields.get(name)) is int else 0 for name in ("before", "total"))

    async def tell(progress: BatchProgress) -> None:
        # Several forks of a pmap may ask at once, so each has its own account.
        call.usages[number] = progress.usage
        whole = replace(progress, done=before + progress.done, total=max(total, progress.total))
        _say(call, whole)

    seconds = call.app.settings.call_seconds
    limits = CallLimits(timeout_s=seconds, unbounded=call.unbounded)
    with call.progress.within():
        await tell(BatchProgress(0, 0, count, Usage()))
        return await answer_guest(fields, await call.model(space), tell, limits, call.rest)


async def sub_llm_rest(call: Call, _space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Hand out answers that did not fit into the message before."""
    return call.rest.more(fields)


async def sub_llm_wait(call: Call, space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Begin and cancel sub-LLM calls of code that awaits them, and wait until one has ended."""

    async def tell(progress: BatchProgress) -> None:
        _say(call, progress)

    calls = call.in_flight.get(space.handle)
    if calls is None:
        limits = CallLimits(timeout_s=call.app.settings.call_seconds)
        if None in call.unbounded:
            limits = replace(limits, max_in_flight=limits.max_requests)
        calls = InFlight(await call.model(space), tell, limits)
        # Forks of a pmap begin at once, and another one may have been faster.
        calls = call.in_flight.setdefault(space.handle, calls)
    with call.progress.within():
        if calls.progress.total:
            _say(call, calls.progress)
        return await calls.wait(fields)


async def sub_llm_estimate(call: Call, space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Say what sub-LLM calls would use; nothing is asked."""
    return await estimate_guest(fields, await call.model(space))


async def symbols(call: Call, _space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Find definitions and references in texts of code."""
    return await find_symbols(call.app.parsers, fields)


OPERATIONS: dict[str, Operation] = {
    "sub_llm": sub_llm,
    "sub_llm_estimate": sub_llm_estimate,
    "sub_llm_rest": sub_llm_rest,
    "sub_llm_wait": sub_llm_wait,
    "symbols": symbols,
    "embed_model": describe_model,
    "embed": embed,
    "embed_wait": embed_wait,
    "sub_rlm": sub_rlm,
    "submit": refuse_submit,
}
