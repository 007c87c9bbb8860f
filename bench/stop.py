"""Stopping code at its deadline: how late the reply is, what is lost, and who else notices."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from rlm_mcp.sandbox import GRACE_SECONDS
from rlm_mcp.space import Limits, Space

from ._common import Host, Report, execute, make_host, median, ms, percentile, run, timed

DEADLINE_S = 0.3
SOFT_S, HARD_S = 0.05, GRACE_SECONDS + 0.3
CASES = {
    "`while True`": "while True: pass",
    "`time.sleep`": "import time; time.sleep(1000)",
    "backtracking regular expression": "import re; re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "`sum(range(10**12))`": "sum(range(10**12))",
    "copies of 100 MB in a loop": "data = bytes(100 << 20)\nwhile True: bytearray(data)",
    "flood of prints": "while True: print('x' * 1000)",
    "`os.urandom`, 64 KB at a time": "import os\nwhile True: os.urandom(1 << 16)",
    "imports in a loop": (
        "import sys\nwhile True:\n    import fractions, statistics\n"
        "    del sys.modules['fractions'], sys.modules['statistics']"
    ),
    "`np.sin` over 50 million": "while True: np.sin(numbers)",
}
SETUP = {"`np.sin` over 50 million": "import numpy as np; numbers = np.arange(5e7)"}
MARK = "mark = {index}\n"


@dataclass
class Found:
    """The trials of one kind of code: seconds from the deadline to the reply."""

    soft: list[float] = field(default_factory=list)
    hard: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    wrong: int = 0
    causes: set[str] = field(default_factory=set)


async def measure(report: Report) -> None:
    soft, hard = report.pick(10, 200), report.pick(2, 100)
    async with make_host(Limits(memory_mb=3072)) as host:
        other = await host.new("1")
        quiet = await round_trips(other, asyncio.Event(), report.pick(40, 200))
        everything: dict[str, Found] = {}
        disturbed: list[float] = []
        for name, code in CASES.items():
            over = asyncio.Event()
            watching = asyncio.create_task(round_trips(other, over))
            everything[name] = await trials(host, name, code, soft, hard)
            over.set()
            disturbed += await watching
        quiet += await round_trips(other, asyncio.Event(), report.pick(40, 200))
    for name, found in everything.items():
        row(report, name, found)
    ratio = median(disturbed) / median(quiet)
    report.row(
        "an execution in a second space meanwhile, median",
        ms(median(disturbed)), baseline=f"{ms(median(quiet))} (nothing else runs)", ratio=ratio,
        reach="undisturbed", ok=ratio <= 1.5,
    )  # fmt: skip
    late, base = percentile(disturbed, 0.99), percentile(quiet, 0.99)
    report.row(
        f"the same, p99 of {len(disturbed):,}",
        ms(late), baseline=ms(base), ratio=late / base, reach="undisturbed",
    )  # fmt: skip


async def trials(host: Host, name: str, code: str, soft: int, hard: int) -> Found:
    """So many of them; code that has to be ended hard takes longer, so it gets half as many."""
    space = await host.new("mark = -1", *([SETUP[name]] if name in SETUP else []))
    found, kept = Found(), -1
    while len(found.soft) < soft and len(found.hard) < hard:
        index = len(found.soft) + len(found.hard)
        loop = asyncio.get_running_loop()
        await host.warm()
        begin = loop.time()
        execution = await space.execute(
            MARK.format(index=index) + code, timeout_s=DEADLINE_S, keep_chars=1000
        )
        late = loop.time() - begin - DEADLINE_S
        if execution.lost:
            found.hard.append(late)
            found.causes.add(execution.lost)
        else:
            found.soft.append(late)
            kept = index
            found.wrong += execution.stopped != "timeout"
        begin = loop.time()
        check = await space.execute("1 + 1, mark", timeout_s=60, keep_chars=1000)
        found.after.append(loop.time() - begin)
        found.wrong += check.value != f"(2, {kept})"
        await space.settled()
    await host.delete(space)
    return found


def row(report: Report, name: str, found: Found) -> None:
    """One row for the trials that were stopped softly, one for those that were ended."""
    total = len(found.soft) + len(found.hard)
    for late, reach, what in (
        (found.soft, SOFT_S, "variables kept"),
        (found.hard, HARD_S, "back at the last commit"),
    ):
        if late:
            p99 = percentile(late, 0.99)
            report.row(
                f"{name}: {len(late)} of {total} trials stopped with {what}",
                f"p50 {ms(median(late))}, p99 {ms(p99)} after the deadline",
                reach=f"p99 under {ms(reach)}", ok=p99 < reach and not found.wrong,
            )  # fmt: skip
    report.note(
        f"{name}: `1 + 1` right afterwards takes {ms(median(found.after))} (worst "
        f"{ms(max(found.after))}) and was right in {total - found.wrong} of {total}"
    )


async def round_trips(space: Space, over: asyncio.Event, limit: int | None = None) -> list[float]:
    """Small executions with pauses, until it is over."""
    found: list[float] = []
    while not over.is_set() and (limit is None or len(found) < limit):
        found.append(await timed(execute(space, "1")))
        await asyncio.sleep(0.05)
    return found


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
