"""Loading a 100 MB text file through `load_variable`, against `open().read()` natively."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from mcp.client.client import Client

from ._common import MB, Report, median, ms, run, temporary_folder, timed
from .roundtrip import server

PAUSE_S = 0.1
LINES = {
    "ASCII": "The quick brown fox jumps over the lazy dog; line {:>10} of the file.\n",
    "UTF-8 with wide characters": "Der schnelle braune Fuchs — 素早い茶色の狐 №{:>10} für 5 €.\n",
}


def write(path: Path, line: str, length: int) -> None:
    block = "".join(line.format(index) for index in range(20_000)).encode()
    with path.open("wb") as file:
        for _ in range(length // len(block)):
            file.write(block)


def read(path: Path) -> float:
    begin = time.perf_counter()
    text = path.read_text(encoding="utf-8")
    took = time.perf_counter() - begin
    assert text
    return took


async def call(client: Client, tool: str, **arguments: object) -> None:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content


async def executions(client: Client, space: str, runs: int) -> float:
    """The median time of a small execution, each after a pause."""
    found = []
    for _ in range(runs):
        await asyncio.sleep(PAUSE_S)
        found.append(await timed(call(client, "exec_code", code="1", space=space)))
    return median(found)


async def measure(report: Report) -> None:
    with temporary_folder() as folder:
        for name, line in LINES.items():
            path = folder / f"{name.split()[0]}.txt"
            write(path, line, 100 * MB)
            allow = ("--allow", str(folder), "--home", str(folder / "home"))
            async with Client(server(str(folder / "home"), *allow)) as client:
                await one(report, client, name, path)
            path.unlink()


async def one(report: Report, client: Client, name: str, path: Path) -> None:
    loads, natives, commits, before, after = [], [], [], [], []
    runs = report.pick(10, 20)
    read(path)
    for index in range(report.pick(2, 7)):
        space = f"load-{index}"
        await call(client, "spaces", action="open", name=space)
        await call(client, "exec_code", code="1", space=space)
        before.append(await executions(client, space, runs))
        natives.append(read(path))
        loads.append(
            await timed(call(client, "load_variable", name="text", source=str(path), space=space))
        )
        commits.append(await timed(call(client, "exec_code", code="len(text)", space=space)))
        after.append(await executions(client, space, runs))
        await call(client, "spaces", action="delete", space=space)
    ratio, slower = median(loads) / median(natives), median(after) / median(before)
    report.row(
        f"`load_variable` of a 100 MB file, {name}",
        ms(median(loads)),
        baseline=f"{ms(median(natives))} (`open().read()`)", ratio=ratio,
        reach="at most 3x", ok=ratio <= 3,
    )  # fmt: skip
    report.row(
        f"executions after that load against before it, {name}",
        ms(median(after)),
        baseline=ms(median(before)), ratio=slower,
        reach="not slower", ok=slower < 1.15,
    )  # fmt: skip
    report.row(
        f"the first execution sent right after the load's reply (waits for its commit), {name}",
        ms(median(commits)),
    )


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
