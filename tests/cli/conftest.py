"""Running commands as a user does, with a home and settings of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlm_mcp.sandbox import Cache

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path, sandbox_cache: Cache) -> dict[str, str]:
    """Nothing of the user's: no keys, no settings, no clients."""
    (tmp_path / "user").mkdir()
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path / "user"),
        "TMPDIR": str(tmp_path),
        "RLM_MCP_CONFIG": os.devnull,
        "RLM_MCP_HOME": str(tmp_path / "home"),
        "RLM_MCP_CACHE": str(sandbox_cache.folder),
    }


@pytest.fixture
def command(tmp_path: Path, environment: dict[str, str]) -> Command:
    """Runs `rlm-mcp` with arguments, from a pipe; further variables are keywords."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "rlm_mcp.cli", *arguments],
            env={**environment, **variables},
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def own_cache(tmp_path: Path, sandbox_cache: Cache) -> Cache:
    """A complete cache that a test may damage."""
    cache = Cache(tmp_path / "own-cache")
    cache.claim()
    for file, copy in (
        (sandbox_cache.compiled, cache.compiled),
        (sandbox_cache.image, cache.image),
        (sandbox_cache.data, cache.data),
    ):
        shutil.copy2(f"{file}.json", f"{copy}.json")
        if file == sandbox_cache.compiled:
            with contextlib.suppress(OSError):
                os.link(file, copy)
                continue
        shutil.copy2(file, copy)
    return cache


def damage(cache: Cache) -> None:
    """Change one byte of the base image; its size stays."""
    with cache.image.open("r+b") as file:
        file.seek(1 << 20)
        byte = file.read(1)
        file.seek(1 << 20)
        file.write(bytes([byte[0] ^ 1]))
