"""Loading a 1 GB space to its first answer, after one commit and after a thousand."""

from __future__ import annotations

import asyncio

from rlm_mcp.space import Limits, Space

from ._common import MB, Host, Report, execute, make_host, median, ms, run, size, spread, timed
from .fork import BLOBS, READ

SMALL = "d[{index}] = str({index}) * 40; order.append({index})"


async def load(host: Host, space: Space, code: str) -> tuple[float, float]:
    """From nothing but its commits to the end of an execution, with a worker ready.

    Returns:
        Seconds until the memory is mapped, and until the execution is done.
    """
    assert await space.unload()
    await host.warm()
    await asyncio.sleep(0.05)
    mapped = await timed(space._keeper.ready())
    return mapped, mapped + await timed(execute(space, code))


async def measure(report: Report) -> None:
    factor, commits = report.pick(64, 256), report.pick(150, 1000)
    trials = report.pick(5, 20)
    label = size(4 * factor * MB)
    async with make_host(Limits(memory_mb=4096)) as host:
        tiny = await host.new("x = 1")
        space = await host.new(BLOBS.format(factor=factor, count=4))

        async def compare(what: str, code: str, reach_s: float) -> None:
            found, base, mapping = [], [], []
            for _ in range(trials):
                base.append((await load(host, tiny, "1"))[1])
                mapped, took = await load(host, space, code)
                mapping.append(mapped)
                found.append(took)
            report.row(
                f"loading a {label} space to its first answer, {what}",
                spread(found),
                baseline=f"{ms(median(base))} (an empty space, `1`)",
                ratio=median(found) / median(base),
                reach=f"under {reach_s * 1e3:.0f} ms", ok=median(found) < reach_s,
            )  # fmt: skip

            report.note(
                f"loading, {what}: {ms(median(mapping))} until the files are checked and mapped, "
                f"{ms(median(found) - median(mapping))} for the execution"
            )

        await compare("after one commit, `1`", "1", 0.05)
        await compare("after one commit, reading 1 MB", READ, 0.05)
        await host.run(space, "d, order = {}, []")
        begin = await timed(fill(host, space, commits))
        runs = len(host.spaces.store.open(host.spaces.info(space.handle).row.head.id).layout)
        report.note(
            f"{commits:,} small executions, each waited for until it was in the store, took "
            f"{ms(begin)}; the memory is then mapped from {runs:,} runs of pages"
        )
        await compare(f"after {commits:,} small ones, `1`", "1", 0.15)
        await compare(f"after {commits:,} small ones, reading 1 MB", READ, 0.15)


async def fill(host: Host, space: Space, commits: int) -> None:
    for index in range(commits):
        await host.run(space, SMALL.format(index=index))


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
