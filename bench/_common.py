"""What the benchmarks share: spaces in a temporary home, timing, memory, and tables."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rlm_mcp.sandbox import Cache, Preparation
from rlm_mcp.settings import load_settings
from rlm_mcp.space import Execution, Limits, Space, Spaces
from rlm_mcp.store import Store

MB = 1 << 20
HEADER = "| what | measured | baseline | ratio | reach | ok? |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """A line of a table: `ok` is `None` where a value is only stated."""

    what: str
    measured: str
    baseline: str = ""
    ratio: str = ""
    reach: str = ""
    ok: bool | None = None

    def markdown(self) -> str:
        verdict = {True: "yes", False: "**no**", None: ""}[self.ok]
        cells = (self.what, self.measured, self.baseline, self.ratio, self.reach, verdict)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


@dataclass
class Report:
    """What a benchmark found: rows, and where the time goes in words."""

    quick: bool
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def row(
        self,
        what: str,
        measured: str,
        *,
        baseline: str = "",
        ratio: float | None = None,
        reach: str = "",
        ok: bool | None = None,
    ) -> None:
        shown = "" if ratio is None else f"{ratio:.2f}x"
        self.rows.append(Row(what, measured, baseline, shown, reach, ok))
        print(f"  {what}: {measured} {shown}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        self.notes.append(text)
        print(f"  ({text})", file=sys.stderr, flush=True)

    def pick(self, quick: int, full: int) -> int:
        return quick if self.quick else full


Measure = Callable[[Report], Coroutine[object, object, None]]


def run(measure: Measure) -> None:
    """The `main` of a benchmark: prints its table, or JSON for `python -m bench`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer and smaller trials")
    parser.add_argument("--json", action="store_true", help="for a program to read")
    arguments = parser.parse_args()
    report = Report(arguments.quick)
    asyncio.run(measure(report))
    if arguments.json:
        print(json.dumps({"rows": [asdict(row) for row in report.rows], "notes": report.notes}))
        return
    print("\n".join([HEADER, *(row.markdown() for row in report.rows), ""]))
    print("\n".join(f"- {note}" for note in report.notes))


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end, gigabytes and all."""
    folder = Path(tempfile.mkdtemp(prefix="rlm-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Host:
    """The domain without a server above it, over a home that is removed at the end."""

    spaces: Spaces
    preparation: Preparation

    async def warm(self) -> None:
        """Wait until the worker that is kept ready has started."""
        _, pool = await self.preparation.wait()
        pool.refill()
        await asyncio.gather(*pool._starting)

    async def new(self, *codes: str) -> Space:
        """A new space in which these have been run."""
        space, _ = await self.spaces.open(None)
        for code in codes:
            await self.run(space, code)
        return space

    async def run(self, space: Space, code: str) -> Execution:
        """Run code that must work, and wait until it is in the store."""
        execution = await execute(space, code)
        await space.settled()
        return execution

    async def delete(self, space: Space) -> None:
        """Delete a space, and wait for the tidying that this begins."""
        await self.spaces.delete(space.handle)
        if self.spaces._tidying is not None:
            await asyncio.wait([self.spaces._tidying])

    def disk(self) -> int:
        """Bytes that the pages of all spaces take on disk."""
        return self.spaces.store.usage()[0]


async def execute(space: Space, code: str, seconds: float = 600) -> Execution:
    """Run code that must work; its commit may still be going on."""
    execution = await space.execute(code, timeout_s=seconds, keep_chars=4000)
    assert not execution.failed, execution
    assert not execution.notes, execution.notes
    return execution


@contextlib.asynccontextmanager
async def make_host(limits: Limits | None = None, warm: int = 1) -> AsyncIterator[Host]:
    """Spaces over the user's own cache; the first time on a machine it compiles the guest."""
    with temporary_folder() as home:
        preparation = Preparation(Cache(load_settings({}).cache), warm)
        spaces = Spaces(Store(home), preparation, limits or Limits())
        try:
            await preparation.wait()
            yield Host(spaces, preparation)
        finally:
            await spaces.close_all()
            await preparation.close()


async def timed(awaited: Awaitable[object]) -> float:
    """Seconds until it is done."""
    begin = time.perf_counter()
    await awaited
    return time.perf_counter() - begin


def pss(pid: int | None) -> float:
    """MB of memory that a process takes, shared pages divided among those who share them."""
    assert pid is not None
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError("the kernel does not tell the PSS")


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def ms(seconds: float) -> str:
    """Seconds as text, in the unit that suits them."""
    if seconds >= 10:
        return f"{seconds:.0f} s"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.{1 if seconds < 0.1 else 0}f} ms"


def spread(values: Sequence[float]) -> str:
    """A median, and the best, which a machine that others use too disturbs least."""
    return f"{ms(median(values))} (best {ms(min(values))})"


def size(count: float) -> str:
    """Bytes as text."""
    for unit, scale in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if count >= scale:
            return f"{count / scale:.{1 if count < 10 * scale else 0}f} {unit}"
    return f"{count:.0f} bytes"
