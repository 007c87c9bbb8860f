"""A helper, `python -m rlm_mcp.helpers.search PROGRAM ARGUMENT...`: becomes a search program.

The file is its standard input and what was found its standard output; it reaches nothing else.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ._inside import become

MAX_OUTPUT = 64 << 20
"""Bytes that a search may find; a longer list is cut, and the guest goes on where it ends."""
MAX_MEMORY = 1 << 30
"""Of the program's own; patterns are compiled within 10 MB, and a line of a piped file is held
whole (a guess)."""


def main() -> None:
    """Give up rights and execute what the arguments say."""
    become(Path(sys.argv[1]), sys.argv[2:], max_output=MAX_OUTPUT, max_memory=MAX_MEMORY)


if __name__ == "__main__":
    main()
