"""What a helper process tries that was taken over by the file that it reads."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path


def attempt(_source: int, target: int, _limit: int) -> list[str]:
    """Try what must not work; returns the names of what did."""
    done = _done()
    os.write(target, b"tried")
    return done


def attempt_parsing(_data: bytes, _limit: int) -> bytes:
    """Try the same from a parser; returns the names as JSON."""
    return json.dumps(_done()).encode()


def _done() -> list[str]:
    attempts: dict[str, Callable[[], object]] = {
        "read": lambda: Path("/etc/passwd").read_bytes(),
        "write": lambda: Path("/tmp/rlm-mcp-evil").write_bytes(b"x"),
        "list": lambda: os.listdir("/"),  # noqa: PTH208
        "stat": lambda: os.stat("/etc/passwd"),  # noqa: PTH116
        "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "unix": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "fork": os.fork,
        "run": lambda: subprocess.run(["/bin/true"], check=True),
        "kill": lambda: os.kill(os.getppid(), signal.SIGCONT),
        "ptrace": lambda: _call(101, 16, os.getpid(), 0, 0),
    }
    done = [f"environ {sorted(os.environ)}"] if set(os.environ) - {"LC_CTYPE"} else []
    for name, try_it in attempts.items():
        try:
            try_it()
        except (OSError, subprocess.SubprocessError):
            continue
        done.append(name)
    return done


def _call(*numbers: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*numbers) < 0:
        raise OSError(ctypes.get_errno(), "refused")
