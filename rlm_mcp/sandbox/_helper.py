"""Helpers: short-lived processes, locked down as workers are, for work outside of guests."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path


@cache
def search_program() -> Path | None:
    """The search program that the package `ripgrep` brings, or `None` where it is not installed.

    Never one from the search path of the user: what runs over untrusted data is what this
    project was installed with.
    """
    try:
        files = metadata.files("ripgrep") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name in ("rg", "rg.exe"):
            path = Path(str(file.locate())).resolve()
            return path if path.is_file() else None
    return None


async def run_helper(module: str, arguments: Sequence[str], *, source: int, output: int) -> int:
    """Run a helper to its end; it is killed when this is cancelled.

    Args:
        module: of `rlm_mcp.worker`, which locks itself down.
        arguments: for it.
        source: descriptor that it reads, as its standard input.
        output: descriptor that it writes to, as its standard output.

    Returns:
        Its exit status, negative for a signal.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        f"rlm_mcp.worker.{module}",
        *arguments,
        env={},
        cwd="/",
        stdin=source,
        stdout=output,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
