"""`python -m bench [name ...] [--quick]`: measures, each in a process and a home of its own.

It prints Markdown; `--write docs/benchmarks.md` puts it between the two marks of that file
instead. Progress goes to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from rlm_mcp.sandbox import Cache
from rlm_mcp.sandbox._prepare import run_preparation
from rlm_mcp.settings import load_settings

from ._common import HEADER, Row, temporary_folder

SECTIONS = {
    "A session": ("startup", "space", "roundtrip", "load", "formats"),
    "Sub-LLM calls": ("sub_llm", "async_calls", "needle"),
    "Finding": ("search",),
    "Larger than memory": ("views",),
    "The transactional space": ("fork", "commit", "open", "stop", "pmap", "disk"),
}
NAMES = [name for names in SECTIONS.values() for name in names]
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
Result = tuple[list[Row], list[str]]


def measure(name: str, quick: bool) -> Result:
    """Run one benchmark; what fails becomes a row that says so."""
    print(f"{name} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"bench.{name}", "--json", *(["--quick"] if quick else [])]
    begin = time.monotonic()
    with temporary_folder() as folder:
        environment = {**os.environ, "RLM_MCP_HOME": str(folder / "home"), "TMPDIR": str(folder)}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    print(f"  took {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    if done.returncode:
        return [Row(f"`bench.{name}`", f"failed with status {done.returncode}", ok=False)], []
    found = json.loads(done.stdout.splitlines()[-1])
    return [Row(**row) for row in found["rows"]], found["notes"]


def markdown(results: dict[str, Result], quick: bool) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [
        f"{cores} {platform.machine()} cores (shared), {platform.system()}, "
        f"Python {platform.python_version()}, wasmtime {version('wasmtime')}, "
        f"mcp {version('mcp')}, {datetime.date.today().isoformat()}"
        + (", `--quick`: fewer and smaller trials" if quick else "")
        + f". Load of the machine at the end: {os.getloadavg()[1]:.1f}."
    ]
    missed: list[Row] = []
    for title, names in SECTIONS.items():
        chosen = [results[name] for name in names if name in results]
        if not chosen:
            continue
        rows = [row for found, _ in chosen for row in found]
        missed += [row for row in rows if row.ok is False]
        parts.append(f"## {title}\n\n" + "\n".join([HEADER, *(row.markdown() for row in rows)]))
        notes = [note for _, found in chosen for note in found]
        if notes:
            parts.append("Where the time goes:\n\n" + "\n".join(f"- {note}" for note in notes))
    parts.append("## What misses its reach in this run\n")
    parts[-1] += "\n".join(f"- {row.what}: {row.measured} ({row.reach})" for row in missed)
    parts[-1] += "" if missed else "\nNothing."
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="all of it in about three minutes")
    parser.add_argument("--write", type=Path, help="a Markdown file to put the tables into")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    cache = Cache(load_settings({}).cache)
    if not cache.is_ready():
        asyncio.run(run_preparation(cache, lambda part, text: None))
    chosen = arguments.names or NAMES
    results = {name: measure(name, arguments.quick) for name in NAMES if name in chosen}
    text = markdown(results, arguments.quick)
    if arguments.write is None:
        print(text)
        return
    whole = arguments.write.read_text(encoding="utf-8")
    before, rest = whole.split(BEGIN)
    after = rest.split(END)[1]
    arguments.write.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
