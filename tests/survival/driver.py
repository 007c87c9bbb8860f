"""A process that works on a space until something kills it, saying what was acknowledged.

`python -m tests.survival.driver HOME CACHE ROUNDS` checks what an earlier one left, prints
`held N`, and then `ack N` after each step that was acknowledged: its reply is there, which with
`durability = "sync"` means that it is saved.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from rlm_mcp.sandbox import Cache, Preparation
from rlm_mcp.space import Limits, Spaces
from rlm_mcp.store import Store

FIRST = """
class Box:
    def __init__(self, value): self.value = value
def make():
    kept = 0
    def add(n):
        nonlocal kept
        kept += n
        return kept
    return add
add = make()
def count():
    n = 0
    while True:
        n += 1
        yield n
counter = count()
import decimal
data = {}
n = 0
blob = "x" * 3_000_000
"""
STEP = """
n += 1
data[n] = Box(str(n) * 500)
assert add(1) == n and next(counter) == n
"""
CHECK = """
assert sorted(data) == list(range(1, n + 1))
assert all(data[i].value == str(i) * 500 for i in data)
assert add(0) == n and blob.count("x") == 3_000_000
assert n == 0 or counter.gi_frame.f_locals["n"] == n
assert decimal.Decimal(1) == 1
n
"""


def make_spaces(home: Path, cache: Path) -> tuple[Spaces, Preparation]:
    """The domain over a home, saving before it replies."""
    limits = Limits(sync=True, history=5)
    preparation = Preparation(Cache(cache))
    return Spaces(Store(home, sync=True), preparation, limits), preparation


async def work(home: Path, cache: Path, rounds: int) -> None:
    """Run rounds of executions; tidies the store now and then."""
    spaces, preparation = make_spaces(home, cache)
    space = await spaces.use("main", create=True)
    begun = await space.execute('"n" in globals()', timeout_s=60, keep_chars=100)
    if begun.value == "False":
        await space.execute(FIRST, timeout_s=60, keep_chars=100)
    else:
        held = await space.execute(CHECK, timeout_s=60, keep_chars=1000)
        assert not held.failed, held.error or held.lost
        sys.stdout.write(f"held {held.value}\n")
        sys.stdout.flush()
    for index in range(rounds):
        execution = await space.execute(STEP + "n", timeout_s=60, keep_chars=100)
        assert not execution.failed, execution
        assert not execution.notes, execution.notes
        sys.stdout.write(f"ack {execution.value}\n")
        sys.stdout.flush()
        if index % 4 == 3:
            await asyncio.to_thread(spaces.store.tidy, entries=5, size=1 << 40)
    await spaces.close_all()
    await preparation.close()


async def check(home: Path, cache: Path) -> int:
    """Open the space again; everything in it must fit together.

    Returns:
        The last step that it holds.
    """
    spaces, preparation = make_spaces(home, cache)
    try:
        if spaces.store.space("main") is None:
            return 0
        space = await spaces.use("main", create=True)
        execution = await space.execute("n", timeout_s=60, keep_chars=1000)
        if execution.failed:
            return 0  # killed before the first execution was saved
        execution = await space.execute(CHECK, timeout_s=60, keep_chars=1000)
        assert not execution.failed, execution.error or execution.lost
        assert not execution.notes, execution.notes
        await space.move_to(spaces.store.history("main")[1].id)
        return int(execution.value or 0)
    finally:
        await spaces.close_all()
        await preparation.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
