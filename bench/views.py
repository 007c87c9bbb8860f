"""Views: a 10 GB log opened, searched by pattern and by words, and read by line and by piece; and a
folder of 50,000 files into a variable, against `git ls-files` and native reading.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

from mcp.client.client import Client

from rlm_mcp.space import search_program

from ._common import MB, Report, median, ms, run, size, spread, temporary_folder, timed
from .load import call
from .roundtrip import server

NEEDLE = "needle-7f3a9c"
PATTERN = r"status=5\d\d user=[a-z]+42\b"
HITS = 10_000
LINES = (1, 777_777, 2_345_678, 123_456, 3_000_001, 99_999, 1_234_567)
NAMES = ("anna", "ben", "chloe", "david", "emma", "farid", "grace", "hiro")


def write_log(path: Path, length: int) -> None:
    """Lines as a web server logs them: one rare text, and `HITS` lines that match `PATTERN`."""
    numbers = random.Random(7)
    rows = []
    for n in range(60_000):
        item, user, took = numbers.randrange(10**6), numbers.randrange(40), numbers.randrange(900)
        rows.append(
            f"2026-11-22T10:{n // 1000:02}:{n // 17 % 60:02}.{n % 1000:03} INFO request id={n:08x} "
            f"path=/api/v1/items/{item} status=200 user={numbers.choice(NAMES)}{user} "
            f"took={took}ms\n"
        )
    block = "".join(rows).encode()
    hit = b"2026-11-22T10:00:00.000 WARN request id=0 status=503 user=anna42 took=9ms\n"
    blocks, done = length // len(block), 0
    with path.open("wb") as file:
        for number in range(blocks):
            wanted = HITS * (number + 1) // blocks
            file.write(block)
            file.write(hit * (wanted - done))
            done = wanted
            if number == blocks * 2 // 3:
                file.write(f"2026-11-22T10:00:00.000 ERROR {NEEDLE}\n".encode())


def forget(path: Path) -> bool:
    """Take a file out of the system's cache, where that can be asked for."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def read_all(path: Path) -> float:
    begin = time.perf_counter()
    buffer = bytearray(4 * MB)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.perf_counter() - begin


def native_grep(pattern: str, path: Path) -> float:
    command = [str(search_program()), "--no-config", "-j1", "-n", "-b", "-e", pattern, str(path)]
    begin = time.perf_counter()
    subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - begin


async def measure(report: Report) -> None:
    with temporary_folder() as folder:
        log = folder / "web.log"
        write_log(log, report.pick(500, 10_000) * MB)
        allow = ("--allow", str(folder), "--home", str(folder / "home"))
        async with Client(server(str(folder / "home"), *allow)) as client:
            await call(client, "exec_code", code="1")
            await views(report, client, log)
            log.unlink()
            await repository(report, client, folder / "repository")


async def load(client: Client, name: str, path: Path) -> None:
    await call(client, "load_variable", name=name, source=str(path), format="view")


async def views(report: Report, client: Client, log: Path) -> None:
    length = os.stat(log).st_size  # noqa: PTH116 - nothing else goes on
    await load(client, "log", log)
    indexed = await timed(call(client, "exec_code", code="log.line_count()"))
    opened = [await timed(load(client, f"log{n}", log)) for n in range(report.pick(5, 10))]
    report.row(
        f"opening a log of {size(length)} as a view",
        spread(opened), reach="under 100 ms", ok=median(opened) < 0.1,
    )  # fmt: skip
    read = read_all(log)
    report.row(
        f"its index of lines, waited for right after: {ms(indexed)}",
        f"{length / indexed / 1e9:.1f} GB/s",
        baseline=f"{length / read / 1e9:.1f} GB/s (reading it natively after that)",
    )
    found = [await timed(call(client, "exec_code", code=f"log.lines[{n}]")) for n in LINES]
    empty = [await timed(call(client, "exec_code", code="1")) for _ in LINES]
    took = max(0.0, median(found) - median(empty))
    report.row(
        "a random line after the index is there, less what an empty execution takes",
        ms(took), baseline=f"{ms(median(empty))} (`1`)", reach="under 5 ms", ok=took < 0.005,
    )  # fmt: skip
    await grep(report, client, log, "a rare literal", NEEDLE, 1)
    await grep(report, client, log, "a regular expression with 10,000 hits", PATTERN, HITS)
    await search(report, client, log)


async def grep(
    report: Report, client: Client, log: Path, what: str, pattern: str, hits: int
) -> None:
    code = f"len(grep({pattern!r}, log, max_hits=20_000))"
    for state in ("warm", "cold"):
        ours, theirs = [], []
        for _ in range(3 if state == "warm" else 1):
            if state == "cold" and not forget(log):
                return
            theirs.append(native_grep(pattern, log))
            if state == "cold":
                forget(log)
            ours.append(await timed(execute(client, code, hits)))
        ratio = median(ours) / median(theirs)
        report.row(
            f"`grep` of {what}, {state}",
            spread(ours), baseline=f"{spread(theirs)} (ripgrep, 1 thread)", ratio=ratio,
            reach="at most 1.5x", ok=ratio <= 1.5,
        )  # fmt: skip


async def search(report: Report, client: Client, log: Path) -> None:
    """Queries over a view; the first one makes its index, which the others find made."""
    first = await timed(_run(client, "search('gateway', log)"))
    report.row("the first `search` of it, which takes samples of it and finds nothing", ms(first))
    native = native_grep(f"(?i){NEEDLE}|error", log)
    for what, query in (
        ("rare words", f"{NEEDLE} error"),
        ("a rare word, misspelt", "nedle"),
        ("words of every line", "request status user"),
    ):
        code = f"search({query!r}, log)"
        took = [await timed(_run(client, code)) for _ in range(3)]
        baseline = f"{ms(native)} (ripgrep for these words)" if what == "rare words" else ""
        report.row(f"`search` for {what}", spread(took), baseline=baseline)
    cut = await timed(_run(client, "chunks(log, 1_000_000)[:100][-1].line"))
    report.row("its first hundred pieces of 1 MB by `chunks`", ms(cut))


async def _run(client: Client, code: str) -> None:
    await call(client, "exec_code", code=code, timeout_s=600)


async def execute(client: Client, code: str, value: int) -> None:
    result = await client.call_tool("exec_code", {"code": code, "timeout_s": 600})
    assert f"=> {value}\\n" in repr(result.content), result.content


async def repository(report: Report, client: Client, folder: Path) -> None:
    files = report.pick(10_000, 50_000)
    write_repository(folder, files)
    native_read(folder)
    ours, theirs = [], []
    for number in range(report.pick(2, 3)):
        theirs.append(native_read(folder))
        space = f"repository-{number}"
        await call(client, "spaces", action="open", name=space)
        await call(client, "exec_code", code="1", space=space)
        loading = call(client, "load_variable", name="repo", source=str(folder), space=space)
        ours.append(await timed(loading))
        await call(client, "spaces", action="delete", space=space)
    ratio = median(ours) / median(theirs)
    report.row(
        f"a repository of {files:,} files into a variable",
        spread(ours), baseline=f"{spread(theirs)} (`git ls-files`, `open().read()`)", ratio=ratio,
        reach="at most 3x", ok=ratio <= 3,
    )  # fmt: skip


def write_repository(folder: Path, files: int) -> None:
    """Sources of 200 bytes to 20 KB in two thousand folders, known to git."""
    numbers = random.Random(3)
    line = "    value = compute(first, second)  # what this line is about\n"
    for number in range(files):
        place = folder / f"package{number % 50}" / f"module{number // 50 % 40}"
        if number < 2000:
            place.mkdir(parents=True, exist_ok=True)
        body = line * int(3 + numbers.paretovariate(1.2) * 8 % 300)
        (place / f"source_{number}.py").write_text(f"def f{number}():\n{body}")
    (folder / ".gitignore").write_text("*.pyc\nbuild/\n__pycache__/\n*.log\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def native_read(folder: Path) -> float:
    begin = time.perf_counter()
    command = ["git", "ls-files", "-z", "-c", "-o", "--exclude-standard"]
    listed = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True).stdout
    texts = {}
    for name in listed.decode().split("\0")[:-1]:
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            texts[name] = file.read()
    assert texts
    return time.perf_counter() - begin


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
