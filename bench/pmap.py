"""`pmap` over CPU-bound work on two cores, against the same work in the space."""

from __future__ import annotations

import subprocess
import sys
import time

from ._common import Report, execute, make_host, median, ms, run, timed

DEFINE = """
def work(n):
    total = 0
    for i in range(n):
        total += i * i % 7
    return total
"""
ITEMS = 16
SERIAL_S, CALIBRATE = 4.5, 1_000_000
SERIAL = "serial = [work({n}) for _ in range({items})]"
PARALLEL = "parallel = pmap(work, [{n}] * {items}, workers=2)"


def native(count: int, n: int) -> float:
    """The same loop in this Python, in so many processes at once."""
    code = f"{DEFINE}\nwork({n})"
    begin = time.perf_counter()
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    for child in children:
        child.wait()
    return time.perf_counter() - begin


async def measure(report: Report) -> None:
    async with make_host() as host:
        space = await host.new(DEFINE)
        once = [await timed(host.run(space, f"work({CALIBRATE})")) for _ in range(3)]
        n = int(CALIBRATE * SERIAL_S / ITEMS / min(once))
        while (took := await timed(execute(space, SERIAL.format(n=n, items=ITEMS)))) < SERIAL_S:
            n = int(n * max(1.1, SERIAL_S / took))
        serial, parallel, offered = [], [], []
        for _ in range(report.pick(2, 5)):
            offered.append(2 * native(1, n * 12) / native(2, n * 12))
            serial.append(await timed(execute(space, SERIAL.format(n=n, items=ITEMS))))
            await host.warm()
            parallel.append(await timed(execute(space, PARALLEL.format(n=n, items=ITEMS))))
            await host.run(space, "assert serial == parallel")
        fixed = []
        for _ in range(report.pick(5, 15)):
            await host.warm()
            fixed.append(await timed(execute(space, "pmap(work, [1, 1], workers=2)")))
    gain = [one / other for one, other in zip(serial, parallel, strict=True)]
    report.row(
        f"`pmap` of {ITEMS} items on two cores, {ms(median(serial))} of work",
        ms(median(parallel)),
        baseline=f"{ms(median(serial))} (in the space)",
        ratio=median(gain),
        reach="at least 1.7x as fast", ok=median(gain) >= 1.7,
    )  # fmt: skip
    report.note(
        f"two native processes with the same loop gained {median(offered):.2f}x in the same "
        f"run, which is what the machine gave; a `pmap` of nothing takes {ms(median(fixed))}, "
        "for two forks, of which one waits for its worker to start"
    )


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
