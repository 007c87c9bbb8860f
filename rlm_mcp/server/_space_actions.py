"""What the tool `spaces` does, by its action."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

from ..errors import BadRequestError
from . import _arguments as args
from . import _render as render
from ._call import Call


async def spaces(call: Call, given: args.SpacesCall) -> str:
    """List spaces and act on them."""
    return await _SPACES[given.action](call, given)


async def _list(call: Call, _given: args.SpacesCall) -> str:
    found = await asyncio.to_thread(call.app.spaces.list)
    return render.list_text(found, call.app.settings.space)


async def _info(call: Call, given: args.SpacesCall) -> str:
    space = await call.space(given.space)
    variables = await space.variables(100)
    if space.suspension is None:
        await space.settled()
    app = call.app
    history = await asyncio.to_thread(app.spaces.store.history, space.handle)
    checkpoints = await asyncio.to_thread(app.spaces.store.checkpoints, space.handle)
    account = app.account(space)
    spent = await account.spent()
    return render.info_text(
        app.spaces.info(space.handle), variables, history, checkpoints,
        app.settings.limits.memory_mb, app.model_name,
        render.spending_text(spent, account.budget) + render.left_text(None, app.calls.trouble),
    )  # fmt: skip


async def _open_space(call: Call, given: args.SpacesCall) -> str:
    with call.progress.within():
        await call.app.preparation.wait(call.progress.say)
    space, new = await call.app.spaces.open(given.space or given.name)
    call.recording.begin(space.handle)
    state = "new and empty" if new else "open, with all it held"
    return f'space {space.handle} is {state}; pass space="{space.handle}" to use it'


async def _fork(call: Call, given: args.SpacesCall) -> str:
    handle = given.space or call.app.settings.space
    with call.progress.within():
        await call.app.preparation.wait(call.progress.say)
    call.recording.begin(handle)
    fork, commit = await call.app.spaces.fork(handle, given.name, given.commit)
    return (
        f"space {fork.handle} is a fork of {handle} as of execution {commit.execution}; "
        f'the two are independent. Pass space="{fork.handle}" to use it'
    )


async def _undo(call: Call, given: args.SpacesCall) -> str:
    space = await call.space(given.space)
    await space.settled()
    history = await asyncio.to_thread(call.app.spaces.store.history, space.handle)
    if len(history) < 2:
        raise BadRequestError(f"space {space.handle} has nothing to undo")
    undone = history[0]
    head = await space.move_to(history[1].id)
    return (
        f"undone: {render.clean(undone.label)[:80]!r}; space {space.handle} is at execution "
        f"{head.execution} (commit {head.id}). To take this back: "
        f'spaces(action="restore", commit={undone.id}, space="{space.handle}")'
    )


async def _checkpoint(call: Call, given: args.SpacesCall) -> str:
    if not given.name:
        raise BadRequestError('a checkpoint wants a name: spaces(action="checkpoint", name=...)')
    space = await call.space(given.space)
    await space.settled()
    store = call.app.spaces.store
    name = given.name[:100]
    commit = await asyncio.to_thread(store.checkpoint, space.handle, name)
    return (
        f"checkpoint {name!r} of space {space.handle} is commit {commit.id}; come back with "
        f'spaces(action="restore", name={json.dumps(name)}, space="{space.handle}")'
    )


async def _restore(call: Call, given: args.SpacesCall) -> str:
    space = await call.space(given.space)
    store = call.app.spaces.store
    known = await asyncio.to_thread(store.checkpoints, space.handle)
    number = given.commit
    if given.name is not None:
        if given.name not in known:
            names = ", ".join(known) or "none"
            raise BadRequestError(
                f"there is no checkpoint {given.name[:100]!r}; there are: {names}"
            )
        number = known[given.name]
    if number is None:
        raise BadRequestError("restore wants the name of a checkpoint or a commit")
    await space.settled()
    head = await space.move_to(number)
    return f"space {space.handle} is at commit {head.id}, execution {head.execution}"


async def _close(call: Call, given: args.SpacesCall) -> str:
    handle = given.space or call.app.settings.space
    call.recording.begin(handle)
    await call.app.spaces.close(handle)
    return (
        f'space {handle} is closed and kept; spaces(action="open", space="{handle}") opens it again'
    )


async def _delete(call: Call, given: args.SpacesCall) -> str:
    if not given.space:
        raise BadRequestError(
            "delete cannot be undone, so it wants the space by name: give `space`"
        )
    await call.app.spaces.delete(given.space)
    return f"space {given.space} is deleted"


_SPACES: dict[str, Callable[[Call, args.SpacesCall], Awaitable[str]]] = {
    "list": _list,
    "info": _info,
    "open": _open_space,
    "fork": _fork,
    "undo": _undo,
    "checkpoint": _checkpoint,
    "restore": _restore,
    "close": _close,
    "delete": _delete,
}
