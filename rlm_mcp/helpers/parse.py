"""A helper, `python -m rlm_mcp.helpers.parse FORMAT SOURCE TARGET LIMIT`: reads documents.

It is for formats whose parsers in the guest are far too slow. `SOURCE` and `TARGET` are
descriptors, `LIMIT` is the most bytes to write. Input: a JSON list of `[offset, length]`, where
each file lies in the source. Output: for each file, as soon as it is done, a line with a JSON
object: `size`, how many bytes were appended to the target, or `error`, why there are none; or
instead of all of them `missing`, the library that is not installed. What the bytes mean is said
where they are made; they are plain JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module

from ._inside import ThreadsError, serve, write_all

MAX_MEMORY = 6 << 30
"""Of address space, as for the conversion of tables."""
CPU_SECONDS = 290
"""A little less than the server waits (a guess: YAML of some 200 MB)."""
FORMATS = {
    # name: (module, function)
    "yaml": ("rlm_mcp.helpers._yaml", "documents"),
    "xlsx": ("rlm_mcp.helpers._workbook", "sheets"),
    "pdf": ("rlm_mcp.helpers._pdf", "pages"),
}
_BLOCK = 16 << 20
Parser = Callable[[bytes, int], bytes]


def main() -> None:
    """Load the parser, give up all rights, and parse."""
    name, source, target, limit = sys.argv[1:]
    module, function = FORMATS[name]
    try:
        parser: Parser = getattr(import_module(module), function)
    except ImportError as error:
        write_all(1, _line({"missing": error.name or "a library"}))
        return
    try:
        serve(
            lambda asked: _lines(parser, asked, int(source), int(target), int(limit)),
            max_memory=MAX_MEMORY,
            cpu_seconds=CPU_SECONDS,
        )
    except ThreadsError as error:
        write_all(1, _line({"error": str(error)}))


def _lines(parser: Parser, asked: bytes, source: int, target: int, limit: int) -> Iterator[bytes]:
    left = limit
    for offset, length in json.loads(asked):
        try:
            made = parser(_read(source, offset, length), left)
            if len(made) > left:
                raise ValueError(f"its values take {len(made):,} bytes, and {left:,} fit")
            write_all(target, made)
        except MemoryError:
            yield _line({"error": "it takes more memory than there is for it"})
        except Exception as error:  # libraries raise what they like for damaged files
            text = " ".join(str(error).split())[:500]
            yield _line({"error": text or type(error).__name__})
        else:
            left -= len(made)
            yield _line({"size": len(made)})


def _line(row: dict[str, object]) -> bytes:
    return json.dumps(row).encode("ascii") + b"\n"


def _read(source: int, offset: int, length: int) -> bytes:
    pieces = []
    while length and (piece := os.pread(source, min(length, _BLOCK), offset)):
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    if length:
        raise ValueError("the file became shorter while it was read")
    return b"".join(pieces)


if __name__ == "__main__":
    main()
    os._exit(0)
