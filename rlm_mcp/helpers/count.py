"""A helper, `python -m rlm_mcp.helpers.count BEGIN END`: counts lines in blocks, on all cores.

The file is its standard input, and its standard output, open for reading and writing, the index
that finds a line by its number: one u64 for each whole block of the file, the newlines from the
file's beginning to the block's end. Blocks before `BEGIN` are there already, and those from `BEGIN`
to before `END` are added.
"""

from __future__ import annotations

import os
import sys
from array import array

from ..worker._lockdown import die_with_parent
from ._inside import give_up_rights

BLOCK = 64 << 10
"""Bytes between entries: a line is found by reading one block, and 10 GB take 1.3 MB of index."""
STRIPE = 64
"""Blocks that one process counts at a time."""
_MAX_PROCESSES = 8


def main() -> None:
    """Count, each process every so many stripes, and add up."""
    die_with_parent()  # and its children with it
    begin, end = int(sys.argv[1]), int(sys.argv[2])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processes = max(1, min(cores or 1, _MAX_PROCESSES, (end - begin) // (4 * STRIPE)))
    children = []
    for number in range(processes):
        child = os.fork()
        if child == 0:
            give_up_rights()
            _count(begin + number * STRIPE, end, processes * STRIPE)
            os._exit(0)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    if failed:
        sys.exit(1)
    give_up_rights()
    _add_up(begin, end)


def _count(first: int, end: int, step: int) -> None:
    """Write how many newlines each block of some stripes has."""
    buffer = bytearray(STRIPE * BLOCK)
    for stripe in range(first, end, step):
        blocks = min(STRIPE, end - stripe)
        view = memoryview(buffer)[: blocks * BLOCK]
        done = 0
        while done < len(view):
            read = os.preadv(0, [view[done:]], stripe * BLOCK + done)
            if read == 0:
                os._exit(1)  # the file has become shorter
            done += read
        starts = range(0, len(view), BLOCK)
        counts = array("Q", (buffer.count(b"\n", at, at + BLOCK) for at in starts))
        os.pwrite(1, counts.tobytes(), stripe * counts.itemsize)


def _add_up(begin: int, end: int) -> None:
    """Turn the counts into sums."""
    total = int.from_bytes(os.pread(1, 8, (begin - 1) * 8), sys.byteorder) if begin else 0
    counts = array("Q", os.pread(1, (end - begin) * 8, begin * 8))
    for number, count in enumerate(counts):
        total += count
        counts[number] = total
    os.pwrite(1, counts.tobytes(), begin * 8)


if __name__ == "__main__":
    main()
