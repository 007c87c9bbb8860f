"""`exec_code("1")` over stdio against an empty tool of the same SDK, interleaved."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

import rlm_mcp.space._keeper as keeper_module
from rlm_mcp.sandbox import Guest
from rlm_mcp.settings import load_settings
from rlm_mcp.store import Writer

from ._common import Report, execute, make_host, median, ms, run, temporary_folder, timed

PAUSE_S = 0.1
"""An agent's model takes seconds between two calls; this is the least that can be assumed."""


def server(home: str, *more: str, **environment: str) -> Any:
    """The transport to a server of this project with a home of its own."""
    cache = str(load_settings({}).cache)
    variables = {"RLM_MCP_HOME": home, "RLM_MCP_CACHE": cache, "RLM_MCP_SPACE": "bench"}
    return stdio_client(
        StdioServerParameters(
            command=sys.executable,
            args=["-m", "rlm_mcp.cli", "serve", *more],
            env=variables | environment,
        )
    )


async def measure(report: Report) -> None:
    trials = report.pick(30, 200)
    empty = StdioServerParameters(command=sys.executable, args=["-m", "bench._empty_server"])
    code = {"code": "1"}
    with temporary_folder() as home:
        async with Client(server(str(home))) as ours, Client(stdio_client(empty)) as theirs:
            await ours.call_tool("exec_code", code)
            await theirs.call_tool("empty", code)
            paused, base, close, close_base = [], [], [], []
            for _ in range(trials):
                await asyncio.sleep(PAUSE_S)
                paused.append(await timed(ours.call_tool("exec_code", code)))
                await asyncio.sleep(PAUSE_S)
                base.append(await timed(theirs.call_tool("empty", code)))
            for _ in range(trials):
                close.append(await timed(ours.call_tool("exec_code", code)))
            for _ in range(trials):
                close_base.append(await timed(theirs.call_tool("empty", code)))
    for what, found, against in (
        ("100 ms pause between calls", paused, base),
        ("back to back", close, close_base),
    ):
        ratio = median(found) / median(against)
        report.row(
            f'`exec_code("1")` over stdio, {what}',
            ms(median(found)),
            baseline=f"{ms(median(against))} (empty tool)", ratio=ratio,
            reach="at most 3x", ok=ratio <= 3,
        )  # fmt: skip
    await where(report, trials, median(base))


async def where(report: Report, trials: int, protocol: float) -> None:
    """The parts of an execution, timed inside a process without a protocol."""
    parts: dict[str, list[float]] = {}

    def watch(owner: Any, name: str) -> None:
        original: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def watched(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return await original(*args, **kwargs)
            finally:
                parts.setdefault(name, []).append(time.perf_counter() - begin)

        setattr(owner, name, watched)

    def watch_commit() -> None:
        original = Writer.commit

        def watched(*args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                parts.setdefault("commit", []).append(time.perf_counter() - begin)

        Writer.commit = watched  # type: ignore[method-assign]

    for name in ("turn", "collect", "adopt"):
        watch(Guest, name)
    watch(keeper_module.Keeper, "_commit")
    watch_commit()
    async with make_host() as host:
        space = await host.new("1", "1")
        parts.clear()
        replies, pages = [], []
        for _ in range(trials):
            await asyncio.sleep(PAUSE_S)
            replies.append(await timed(execute(space, "1")))
            await space.settled()
            pages.append(host.spaces.store.history(space.handle)[0].pages)
    found = {name: median(values) for name, values in parts.items()}
    report.note(
        f"of a call after a pause: the SDK's protocol and its client {ms(protocol)} (the empty "
        f"tool), the execution in the space {ms(median(replies))}, of which the turn in the "
        f"worker {ms(found['turn'])}"
    )
    report.note(
        f"back to back a call also waits for the commit before it, {ms(found['_commit'])} after "
        f"the reply: finding and comparing the pages {ms(found['collect'])}, segment and row "
        f"{ms(found['commit'])}, mapping them again {ms(found['adopt'])}; {median(pages):.0f} "
        "pages differ after `1`"
    )


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
