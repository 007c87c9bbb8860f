"""Forks of a large space: the time to a fork's first answer, and what a hundred of them take."""

from __future__ import annotations

import asyncio

from rlm_mcp.space import Limits, Space

from ._common import MB, Host, Report, execute, make_host, median, ms, pss, run, size, spread, timed

BLOBS = """
import os
blobs = [os.urandom(1 << 20) * {factor} for _ in range({count})]
"""
READ = "blobs[-1][-(1 << 20):].count(7) > 0"
WRITE = "import os; own = os.urandom(1 << 20); len(own)"


async def first(host: Host, source: Space, code: str, steps: list[float]) -> float:
    """From the fork to the end of its first execution; then the fork is deleted.

    Args:
        steps: takes the seconds of the forking, and of getting the fork mapped.
    """

    async def begin() -> None:
        steps.append(await timed(make()))
        steps.append(await timed(forks[0]._keeper.ready()))
        await execute(forks[0], code)

    async def make() -> None:
        space, _ = await host.spaces.fork(source.handle)
        forks.append(await host.spaces.use(space.handle))

    forks: list[Space] = []
    await host.warm()
    await asyncio.sleep(0.05)
    took = await timed(begin())
    await forks[0].settled()
    await host.delete(forks[0])
    return took


async def measure(report: Report) -> None:
    factor = report.pick(64, 256)
    async with make_host(Limits(memory_mb=4096)) as host:
        small = await host.new(BLOBS.format(factor=1, count=1))
        large = await host.new(BLOBS.format(factor=factor, count=4))
        label = size(4 * factor * MB)
        for what, code in (("trivial (`1`)", "1"), ("reading 1 MB of the data", READ)):
            found: list[float] = []
            base: list[float] = []
            steps: list[float] = []
            for _ in range(report.pick(7, 30)):
                base.append(await first(host, small, code, []))
                found.append(await first(host, large, code, steps))
            ratio = median(found) / median(base)
            report.row(
                f"fork of a {label} space to the end of its first execution, {what}, warm worker",
                spread(found),
                baseline=f"{ms(median(base))} (1 MB space)", ratio=ratio,
                reach="at most 2x, under 50 ms", ok=ratio <= 2 and median(found) < 0.05,
            )  # fmt: skip
            forked, mapped = median(steps[::2]), median(steps[1::2])
            report.note(
                f"fork, {what}: the rows of the fork take {ms(forked)}, checking and mapping the "
                f"files in a worker {ms(mapped)}, the first execution "
                f"{ms(median(found) - forked - mapped)}"
            )
        await host.delete(small)
        await many(report, host, large, label)


async def many(report: Report, host: Host, source: Space, label: str) -> None:
    """Forks that each write 1 MB, with no more running at once than the limit allows."""
    count = report.pick(20, 100)
    before, sums, running = host.disk(), [], 0
    forks: list[Space] = []
    for index in range(count):
        fork, _ = await host.spaces.fork(source.handle)
        await host.spaces.use(fork.handle)
        await host.run(fork, WRITE)
        forks.append(fork)
        if index % 10 == 9 or index == count - 1:
            pids = [space.pid for space in (source, *forks)]
            found = [pss(pid) for pid in pids if pid is not None]
            sums.append(sum(found))
            running = max(running, len(found))
    disk = host.disk() - before
    report.row(
        f"disk of {count} forks of a {label} space, each having run and written 1 MB",
        f"{size(disk)} more, {size(disk / count)} each",
        reach="no copy of the data", ok=disk < count * 8 * MB,
    )  # fmt: skip
    report.row(
        f"PSS of those that run (the limit is {host.spaces.limits.running}, {running} ran)",
        f"{max(sums):.0f} MB together at most, {max(sums) / running:.0f} MB each",
        reach="no copy of the data", ok=max(sums) / running < 256,
    )  # fmt: skip
    for space in (source, *forks):
        await space.unload()
    left = [space for space in forks if space.pid is not None]
    report.row(
        "PSS of those forks when unloaded",
        "none: they have no process" if not left else f"{len(left)} still have a process",
        reach="none", ok=not left,
    )  # fmt: skip


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
