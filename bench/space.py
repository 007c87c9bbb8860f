"""A new space: until its first execution is done, its imports, and the memory it takes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rlm_mcp.space import Space

from ._common import Host, Report, execute, make_host, median, ms, pss, run, spread, timed

IMPORTS = "import pandas, numpy"


async def first(host: Host, code: str) -> float:
    """From nothing to the end of a new space's first execution; then the space is deleted."""

    async def begin() -> None:
        space, _ = await host.spaces.open(None)
        spaces.append(space)
        await execute(space, code)

    spaces: list[Space] = []
    took = await timed(begin())
    await host.delete(spaces[0])
    return took


async def measure(report: Report) -> None:
    trials = report.pick(10, 40)
    async with make_host() as host:
        await host.warm()
        very_first = await first(host, "1")
        plain, imports = [], []
        for _ in range(trials):
            await host.warm()
            await asyncio.sleep(0.02)
            plain.append(await first(host, "1"))
            await host.warm()
            await asyncio.sleep(0.02)
            imports.append(await first(host, IMPORTS))
        report.row(
            "new space to the end of its first execution, warm worker",
            spread(plain), reach="under 25 ms", ok=median(plain) < 0.025,
        )  # fmt: skip
        report.row(
            "the same for the first space of a home (the base image is copied into the store)",
            ms(very_first),
        )
    async with make_host(warm=0) as host:
        await first(host, "1")
        cold = [await first(host, "1") for _ in range(report.pick(5, 20))]
        report.row(
            "new space to the end of its first execution, worker not started yet",
            spread(cold),
            baseline=f"{ms(median(plain))} (warm)", ratio=median(cold) / median(plain),
            reach="under 500 ms", ok=median(cold) < 0.5,
        )  # fmt: skip
    report.row(
        "new space to the end of `import pandas, numpy`, warm worker",
        spread(imports),
        baseline=f"{ms(median(plain))} (`1`)", ratio=median(imports) / median(plain),
        reach="under 50 ms", ok=median(imports) < 0.05,
    )  # fmt: skip
    await memory(report)


async def memory(report: Report) -> None:
    async with make_host() as host:
        space = await host.new("1")
        await host.warm()
        pid = space.pid
        found = pss(pid)
        report.row(
            "PSS of a running space that holds nothing (its worker)",
            f"{found:.0f} MB", reach="under 60 MB", ok=found < 60,
        )  # fmt: skip
        _, pool = await host.preparation.wait()
        (waiting,) = pool._starting
        spare = pss((await waiting).pid)
        parts = ", ".join(f"{name} {mb:.0f} MB" for name, mb in largest(pid))
        report.note(f"the largest parts of that PSS: {parts}")
        report.note(
            f"a started worker without a space takes {spare:.0f} MB: Python, wasmtime and its "
            "part of the compiled guest; the rest is what the space's pages add"
        )
        await space.unload()
        gone = space.pid is None and not is_process(pid)
        report.row(
            "PSS of an idle (unloaded) space",
            "none: it has no process" if gone else "its process is still there",
            reach="none", ok=gone,
        )  # fmt: skip


def largest(pid: int | None) -> list[tuple[str, float]]:
    """What a process has mapped, by its PSS in MB, the largest first."""
    found: dict[str, float] = {}
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if words[0] == "Pss:":
            found[name] = found.get(name, 0.0) + int(words[1]) / 1024
        elif not words[0].endswith(":"):
            path = Path(words[5]) if len(words) > 5 else None
            kind = (path.suffix or path.name) if path else "anonymous"
            name = f"`{kind}` {words[1]}"
    return sorted(found.items(), key=lambda item: -item[1])[:4]


def is_process(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
