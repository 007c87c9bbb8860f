"""Taking over spaces that other versions made.

A newer version of the project's own guest code replaces the older in place. Another artefact
is another interpreter: its memory means nothing to this one, so the variables are pickled in
the old one, with the files that the store kept, and unpickled in a new one.
"""

from __future__ import annotations

import os

from ..errors import SandboxError, SpaceError
from ..sandbox import Guest, LostError, WorkerDiedError, scratch_file

CARRY_SECONDS = 600.0


def guest_id(module: str, code: str) -> str:
    """Names what runs in a guest: 64 hexadecimal digits of the module, then the code's version."""
    return f"{module}-{code}"


def module_of(guest: str) -> str:
    """The SHA-256 of the module that a space was made with."""
    return guest.partition("-")[0]


async def export_variables(guest: Guest, source: str, request: bytes) -> tuple[int, int, list[str]]:
    """Pickle all variables of a space in its own, older interpreter.

    Args:
        guest: with the space mapped.
        source: of the bootstrap turn.
        request: what that turn asks for.

    Returns:
        Descriptor and size of the pickle, and the variables that cannot be carried over.

    Raises:
        SandboxError: the older interpreter does not run.
    """
    descriptor = scratch_file()
    try:
        await guest.install(source, request)
        found = await guest.turn({"op": "export"}, seconds=CARRY_SECONDS, target=descriptor)
        left = [str(name)[:200] for name in found["left"]][:1000]
        return descriptor, int(found["written"]), left
    except (LostError, WorkerDiedError, KeyError, TypeError, ValueError) as error:
        os.close(descriptor)
        raise SandboxError(f"the older interpreter of this space failed ({error})") from error


async def import_variables(guest: Guest, descriptor: int, size: int) -> None:
    """Unpickle variables in a new interpreter.

    Raises:
        SpaceError: they do not fit this interpreter.
    """
    try:
        request = {"op": "import", "size": size}
        found = await guest.turn(request, seconds=CARRY_SECONDS, source=descriptor)
    except (LostError, WorkerDiedError) as error:
        raise SandboxError(f"the variables could not be carried over ({error})") from error
    if "refused" in found:
        raise SpaceError(f"the variables could not be carried over: {found['refused']}")
