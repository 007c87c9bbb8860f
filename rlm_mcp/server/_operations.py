"""What guest code may ask of the server, by the name of the operation.

Each is given the call of the tool that runs the code, the space it runs in, and the fields that
the guest sent, which may be an attacker's. What it raises as an `RlmError` the guest sees as a
refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..lm import Progress, Usage, answer_guest
from ..space import Space

if TYPE_CHECKING:
    from ._handlers import Call

Operation = Callable[["Call", Space, dict[str, Any]], Awaitable[dict[str, Any]]]


async def sub_llm(call: Call, space: Space, fields: dict[str, Any]) -> dict[str, Any]:
    """Ask the sub-model about each prompt of a list."""
    number = len(call.usages)
    call.usages.append(Usage())

    async def tell(progress: Progress) -> None:
        # Several forks of a pmap may ask at once, so each has its own account.
        call.usages[number] = progress.usage
        call.progress.say(
            progress.done / max(progress.total, 1),
            f"sub-LLM calls: {progress.done} of {progress.total} done, {progress.failed} failed",
        )

    return await answer_guest(fields, call.model(space), tell)


OPERATIONS: dict[str, Operation] = {
    "sub_llm": sub_llm,
}
