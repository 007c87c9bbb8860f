"""Becomes a search program that can reach one file and nothing else.

Run as `python -m rlm_mcp.worker._search PROGRAM ARGUMENT...` with the file as standard input.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ._lockdown import die_with_parent, lock_down_program

MAX_OUTPUT = 64 << 20
"""Bytes that a search may find; a longer list is cut, and the guest goes on where it ends."""
MAX_MEMORY = 1 << 30
"""Of the program's own; patterns are compiled within 10 MB, and a line of a piped file is held
whole (a guess)."""


def main() -> None:
    """Give up rights and execute what the arguments say."""
    die_with_parent()
    program = Path(sys.argv[1])
    lock_down_program(program, 0, max_output=MAX_OUTPUT, max_memory=MAX_MEMORY)
    os.execve(program, [str(program), *sys.argv[2:]], {})


if __name__ == "__main__":
    main()
