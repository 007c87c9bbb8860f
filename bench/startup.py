"""From the start of `rlm-mcp serve` to its answer to `initialize`, over stdio.

Cold is with every file of Python and its packages dropped from the kernel's page cache. With
an empty cache folder the sandbox's preparation (90 CPU-seconds) begins at the same time; it is
ended here when the handshake is over.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from rlm_mcp.settings import load_settings

from ._common import Report, median, ms, run, temporary_folder

SERVE = [sys.executable, "-m", "rlm_mcp.cli", "serve"]
EMPTY = [sys.executable, "-m", "bench._empty_server"]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "0"},
    },
}
REACH_S = 2.5
_SUFFIXES = (".py", ".pyc", ".so", ".json")


def handshake(command: list[str], **environment: str) -> float:
    """Start a server, wait for the answer to `initialize`, and end it with all it started."""
    begin = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        took = time.perf_counter() - begin
        assert "result" in json.loads(answer), answer
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return took


def plain(code: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begin


def drop_from_page_cache() -> None:
    """Ask the kernel to forget the files of Python that no process has mapped."""
    paths = sysconfig.get_paths()
    folders = {paths["stdlib"], paths["purelib"], paths["platlib"], str(Path.cwd() / "rlm_mcp")}
    for folder in folders:
        for path in Path(folder).rglob("*"):
            if path.suffix in _SUFFIXES and path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)


async def measure(report: Report) -> None:
    trials = report.pick(2, 11)
    cache = str(load_settings({}).cache)
    with temporary_folder() as folder:

        def serve(cache: str = cache, **more: str) -> float:
            home = str(folder / f"home-{time.monotonic_ns()}")
            return handshake(SERVE, RLM_MCP_HOME=home, RLM_MCP_CACHE=cache, **more)

        def unprepared() -> str:
            path = folder / f"cache-{time.monotonic_ns()}"
            path.mkdir(mode=0o700)
            return str(path)

        cold, cold_empty = [], []
        for _ in range(report.pick(1, 3)):
            drop_from_page_cache()
            cold.append(serve())
            drop_from_page_cache()
            cold_empty.append(handshake(EMPTY))
        cold_unprepared = []
        for _ in range(report.pick(1, 3)):
            drop_from_page_cache()
            cold_unprepared.append(serve(unprepared()))
        ready, missing, empty, imported, started = [], [], [], [], []
        for _ in range(trials):
            ready.append(serve())
            empty.append(handshake(EMPTY))
            imported.append(plain("import mcp.server"))
            started.append(plain("import rlm_mcp.server"))
            missing.append(serve(unprepared()))
        # What pip compiles at installation, uv does not.
        no_bytecode = serve(PYTHONPYCACHEPREFIX=str(folder / "bytecode"))
        no_bytecode_empty = handshake(EMPTY, PYTHONPYCACHEPREFIX=str(folder / "bytecode-2"))

    def compare(what: str, found: list[float], base: list[float], reach: bool = True) -> None:
        ratio = median(found) / median(base)
        report.row(
            f"process start to answered handshake, {what}",
            ms(median(found)),
            baseline=f"{ms(median(base))} (empty server)",
            ratio=ratio,
            reach="under 2.5 s" if reach else "",
            ok=median(found) < REACH_S if reach else None,
        )

    compare("cold, sandbox ready", cold, cold_empty)
    compare("cold, sandbox not ready", cold_unprepared, cold_empty)
    compare("files cached, sandbox ready", ready, empty)
    compare("files cached, sandbox not ready", missing, empty)
    compare(
        "no bytecode yet (the first run after an install that does not compile)",
        [no_bytecode], [no_bytecode_empty],
    )  # fmt: skip
    report.note(
        f"nearly all of a start is imports: a process that only does `import rlm_mcp.server` takes "
        f"{ms(median(started))}, one that only does `import mcp.server` (the SDK) "
        f"{ms(median(imported))}, against {ms(median(ready))} to the answered handshake"
    )


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
