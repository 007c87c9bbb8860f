"""Commits: what they write against what differs, and how long they take.

What differs is worked out without the project's own code: the whole memory of the guest is
read through `/proc/PID/mem` before and after an execution, and its pages are compared.
"""

from __future__ import annotations

import re
from pathlib import Path

from rlm_mcp.sandbox import PAGE
from rlm_mcp.space import Limits, Space

from ._common import Host, Report, execute, make_host, median, ms, run, size, timed

_MAPPING = re.compile(r"([0-9a-f]+)-[0-9a-f]+ rw-p .*\.(?:image|pages)$")

MIXED = "rows = [{'id': i, 'text': str(i) * 5} for i in range(200_000)]; log = []"
WORKLOADS = {
    "a small value": "x = 1",
    "append to a list": "log.append('entry')",
    "10,000 new strings": "words = [f'word {i}' for i in range(10_000)]",
    "read 200,000 dicts": "sum(row['id'] for row in rows)",
    "change every tenth of them": "for row in rows[::10]: row['id'] += 1",
    "garbage collection": "import gc; gc.collect()",
    "pandas: frame, group, describe": (
        "import pandas; df = pandas.DataFrame(rows); "
        "df.groupby(df.id % 7).text.count(); _ = df.describe()"
    ),
    "a 20 MB string": "big = 'abcdefgh' * (5 << 19)",
    "throw it away": "del big",
}
SIZES = {"10 MB": 10, "100 MB": 100, "1 GB": 1024}
BLOBS = "import os\nblobs = [os.urandom(1 << 20) * {part} for _ in range(2)]"
OBJECTS = "rows = [{{'id': i}} for i in range({count})]"
OBJECT_WORK = {
    "`x = 1`": "x = 1",
    "one pass over all": "sum(row['id'] for row in rows)",
    "`x = 1` after that pass": "x = 1",
    "a change to every 1,000th": "for row in rows[::1000]: row['id'] += 1",
}


async def measure(report: Report) -> None:
    await written(report)
    async with make_host(Limits(memory_mb=4096)) as host:
        await few(report, host)
        await many(report, host)


def memory_of(pid: int | None, length: int) -> bytes:
    """A guest's whole memory; it begins with the first file mapped copy-on-write."""
    assert pid is not None
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    start = min(int(found[1], 16) for line in lines if (found := _MAPPING.match(line)))
    with Path(f"/proc/{pid}/mem").open("rb") as file:
        file.seek(start)
        data = file.read(length)
    assert len(data) == length
    return data


def differing(before: bytes, after: bytes) -> int:
    """How many pages are not the same; what was not there before was zero."""
    zero = bytes(PAGE)
    return sum(
        after[at : at + PAGE] != (before[at : at + PAGE] or zero)
        for at in range(0, len(after), PAGE)
    )


async def written(report: Report) -> None:
    async with make_host() as host:
        space = await host.new(MIXED, "1")
        total, ideal, worst = 0, 0, ("", 0.0)
        for name, code in WORKLOADS.items():
            head = host.spaces.store.history(space.handle)[0]
            before = memory_of(space.pid, head.size)
            disk = stored(host)
            await host.run(space, code)
            commit = host.spaces.store.history(space.handle)[0]
            differ = differing(before, memory_of(space.pid, commit.size))
            wrote = stored(host) - disk
            assert wrote == commit.pages * PAGE
            total, ideal = total + commit.pages, ideal + differ
            if commit.pages / max(differ, 1) > worst[1]:
                worst = (name, commit.pages / max(differ, 1))
            report.note(f"{name}: {size(wrote)} written, {size(differ * PAGE)} differ")
    report.row(
        f"bytes written by the commits of {len(WORKLOADS)} kinds of execution",
        size(total * PAGE),
        baseline=f"{size(ideal * PAGE)} of pages that differ", ratio=total / ideal,
        reach="at most 1.2x", ok=worst[1] <= 1.2,
    )  # fmt: skip
    report.note(f"the worst of them: {worst[0]}, {worst[1]:.2f}x")


def stored(host: Host) -> int:
    folder = host.spaces.store.home / "pages"
    return sum(path.stat().st_size for path in folder.glob("*.pages"))


async def one(host: Host, space: Space, code: str) -> tuple[float, float]:
    """Seconds to the reply, and from there to the end of the commit."""
    reply = await timed(execute(space, code))
    return reply, await timed(space.settled())


async def few(report: Report, host: Host) -> None:
    spaces = {}
    for label, megabytes in SIZES.items():
        spaces[label] = await host.new(BLOBS.format(part=megabytes // 2), "x = 0")
    found: dict[str, list[float]] = {label: [] for label in SIZES}
    for index in range(report.pick(10, 40)):
        for label, space in spaces.items():
            found[label].append((await one(host, space, f"x = {index}"))[1])
    base = median(found["10 MB"])
    for label in SIZES:
        ratio = median(found[label]) / base
        report.row(
            f"from the reply to the end of the commit, {label} of few objects, `x = 1`",
            ms(median(found[label])),
            baseline=f"{ms(base)} (10 MB)", ratio=ratio,
            reach="flat", ok=ratio <= 2,
        )  # fmt: skip
    for space in spaces.values():
        await host.delete(space)


async def many(report: Report, host: Host) -> None:
    count = report.pick(500_000, 5_000_000)
    space = await host.new()
    reply, commit = await one(host, space, OBJECTS.format(count=count))
    head = host.spaces.store.history(space.handle)[0]
    report.row(
        f"commit after making {count:,} dicts ({size(head.size)} of memory)",
        ms(commit), baseline=f"{ms(reply)} (the execution itself)", ratio=commit / reply,
    )  # fmt: skip
    for what, code in OBJECT_WORK.items():
        replies, commits, pages = [], [], []
        for _ in range(3):
            reply, commit = await one(host, space, code)
            replies.append(reply)
            commits.append(commit)
            pages.append(host.spaces.store.history(space.handle)[0].pages)
        report.row(
            f"commit with {count:,} dicts, {what} ({size(median(pages) * PAGE)} written)",
            ms(median(commits)),
            baseline=f"{ms(median(replies))} (the execution itself)",
            ratio=median(commits) / median(replies), reach="stated",
        )  # fmt: skip


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
