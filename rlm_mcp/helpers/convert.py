"""A helper, `python -m rlm_mcp.helpers.convert OPERATION SOURCE TARGET LIMIT`: converts one file.

It is for formats that the guest has no parser for. `SOURCE` and `TARGET` are descriptors, `LIMIT`
is the most bytes to write. Output: one JSON object with `notes`, or `error`, why it cannot be done,
or `missing`, the library that is not installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module

from ._inside import ThreadsError, give_up_rights, write_all

MAX_MEMORY = 6 << 30
"""Of address space: a table of the size that fits into a space, several times over."""
OPERATIONS = {
    # name: (module, function)
    "zstd": ("rlm_mcp.helpers._zstd", "decompress"),
    "parquet": ("rlm_mcp.helpers._tables", "from_parquet"),
    "arrow": ("rlm_mcp.helpers._tables", "from_arrow"),
    "to_parquet": ("rlm_mcp.helpers._tables", "to_parquet"),
    "to_arrow": ("rlm_mcp.helpers._tables", "to_arrow"),
}
Operation = Callable[[int, int, int], list[str]]


def main() -> None:
    """Convert one file."""
    name, source, target, limit = sys.argv[1:]
    module, function = OPERATIONS[name]
    try:
        operation: Operation = getattr(import_module(module), function)
    except ImportError as error:
        _say({"missing": error.name or "a library"})
        return
    try:
        give_up_rights(max_memory=MAX_MEMORY)
    except ThreadsError as error:
        _say({"error": str(error)})
        return
    try:
        _say({"notes": operation(int(source), int(target), int(limit))})
    except MemoryError:
        _say({"error": "it takes more memory than there is for it"})
    except Exception as error:  # libraries raise what they like for damaged files
        _say({"error": " ".join(str(error).split())[:500] or type(error).__name__})


def _say(answer: dict[str, object]) -> None:
    write_all(1, json.dumps(answer).encode())


if __name__ == "__main__":
    main()
    os._exit(0)
