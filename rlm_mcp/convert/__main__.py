"""The process: locks itself down, converts one file, says how it went, and ends.

Arguments: what to do, descriptors of the input and the output, and the most bytes to write. What
it says is one JSON object on standard output: `notes`, or `error`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from importlib import import_module

from ..worker._lockdown import lock_down

MEMORY_BYTES = 6 << 30
"""Of address space: a table of the size that fits into a space, several times over."""
OPERATIONS = {
    # name: (module, function)
    "zstd": ("rlm_mcp.convert._zstd", "decompress"),
    "parquet": ("rlm_mcp.convert._tables", "from_parquet"),
    "arrow": ("rlm_mcp.convert._tables", "from_arrow"),
    "to_parquet": ("rlm_mcp.convert._tables", "to_parquet"),
    "to_arrow": ("rlm_mcp.convert._tables", "to_arrow"),
}
Operation = Callable[[int, int, int], list[str]]


class ConvertError(Exception):
    """A file cannot be converted; the text says why."""


def main() -> None:
    """Convert one file."""
    name, source, target, limit = sys.argv[1:]
    module, function = OPERATIONS[name]
    try:
        operation: Operation = getattr(import_module(module), function)
    except ImportError as error:
        _say({"missing": error.name or "a library"})
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # Neither wall reaches threads that exist already.
    if sys.platform == "linux" and len(os.listdir("/proc/self/task")) != 1:  # noqa: PTH208
        _say({"error": "a library began a thread before the walls were up"})
        return
    lock_down()
    try:
        _say({"notes": operation(int(source), int(target), int(limit))})
    except MemoryError:
        _say({"error": "it takes more memory than there is for it"})
    except Exception as error:  # libraries raise what they like for damaged files
        _say({"error": " ".join(str(error).split())[:500] or type(error).__name__})


def _say(answer: dict[str, object]) -> None:
    os.write(1, json.dumps(answer).encode())


if __name__ == "__main__":
    main()
    os._exit(0)
