"""What a thousand small executions on a 500 MB space leave on disk, before and after tidying."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rlm_mcp.space import Limits

from ._common import MB, Report, execute, make_host, median, ms, run, size, timed

BLOBS = "import os\nblobs = [os.urandom(1 << 20) * {factor} for _ in range(2)]\nlog = []"
STEP = "log.append('entry {index}')"


async def measure(report: Report) -> None:
    count, factor = report.pick(100, 1000), report.pick(50, 250)
    limits = Limits()
    async with make_host() as host:
        store = host.spaces.store
        space = await host.new(BLOBS.format(factor=factor))
        begin = host.disk()
        pages, took = [], []
        for index in range(count):
            took.append(await timed(execute(space, STEP.format(index=index))))
            await space.settled()
        after = host.disk()
        pages = [commit.pages for commit in store.history(space.handle)[:count]]
        rows = database(store.home)
        label = size(2 * factor * MB)
        report.row(
            f"disk of a {label} space before and after {count:,} small executions",
            size(after), baseline=f"{size(begin)} (before)", ratio=after / begin,
            reach="stated",
        )  # fmt: skip
        report.note(
            f"each such execution adds {size((after - begin) / count)} "
            f"({median(pages):.0f} pages that differ, {ms(median(took))} to its reply); the "
            f"database is {size(rows)}"
        )
        for what, entries in (("the default history", limits.history), ("a history of 10", 10)):
            seconds = await timed(
                asyncio.to_thread(store.tidy, entries=entries, size=limits.history_mb << 20)
            )
            report.row(
                f"the same after `tidy` to {what} ({entries} commits, took {ms(seconds)})",
                size(host.disk()), baseline=size(after), ratio=host.disk() / after,
                reach="falling", ok=host.disk() < after,
            )  # fmt: skip
        await space.unload()
        await host.run(space, f"assert len(log) == {count} and len(blobs[1]) > 0")
        await host.spaces.close(space.handle)
        await asyncio.to_thread(store.tidy, entries=1, size=limits.history_mb << 20)
        report.row(
            "the same with a history of 1, the space closed",
            size(host.disk()), baseline=size(after), ratio=host.disk() / after, reach="stated",
        )  # fmt: skip


def database(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("store.sqlite*"))


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
