"""Memory without end: an exception like any other, and nothing beside the space is touched."""

from __future__ import annotations

import asyncio

import pytest

from rlm_mcp.lm import ScriptedModel
from rlm_mcp.space import Limits

from ..conftest import Connect
from .conftest import Arena

pytestmark = pytest.mark.anyio

CASES = {
    "growing": "a = []\nwhile True: a.append('x' * 10 ** 6 + str(len(a)))",
    "doubling": "a = [0]\nwhile True: a += a",
    "one object": "bytearray(2 ** 31 - 100)",
    "zeros": "import numpy as np; np.zeros(10 ** 9)",
    "broadcast": "import numpy as np; np.ones((10 ** 5, 1)) + np.ones((1, 10 ** 5))",
    "the edge": "bytearray(2 ** 32 - 1)",
    "a text at the edge": "'x' * (2 ** 31 - 1)",
    "an array at the edge": "import numpy as np; np.zeros(2 ** 31 - 1, 'u1')",
    "a bomb": "import zlib\nd = zlib.compressobj()\n"
    "z = b''.join(d.compress(bytes(10 ** 6)) for _ in range(1000)) + d.flush()\nzlib.decompress(z)",
    "fragments": "a = [bytearray(10 ** 6) for _ in range(80)]; a = a[::2]\n"
    "while True: a.append(bytearray(3 * 10 ** 6))",
    "an endless context": "import itertools\nsub_llm('x', context={'a': iter(int, 1)})",
    "a context": "sub_llm('x', context=['y' * 10 ** 7] * 10)",
    "recursive data": "a = []\nfor _ in range(10 ** 9): a = [a, bytearray(10 ** 5)]",
}


async def test_memory_without_end_is_an_exception(arena: Arena) -> None:
    for kind, code in CASES.items():
        text = await arena.attack(code)
        assert "MemoryError" in text or "LOST" in text or "rror" in text, f"{kind}: {text}"
        await arena.agent.run("a = None")
    text = await arena.attack("import gc; gc.collect(); x = bytearray(10 ** 8); len(x)")
    assert "=> 100000000" in text


async def test_answers_that_do_not_fit_into_memory_are_an_exception(connect: Connect) -> None:
    model = ScriptedModel(lambda request: request.prompt.text + "y" * 3_000_000)
    async with connect(model, limits=Limits(memory_mb=200)) as agent:
        await agent.run("kept = [bytearray(10 ** 6) for _ in range(60)]")
        for ask in (
            "sub_llm_map([str(i) for i in range(40)])",
            "import asyncio\nawait asyncio.gather(*(asub_llm(str(i)) for i in range(40)))",
        ):
            text = await agent.fails("exec_code", code=ask)
            assert "MemoryError" in text
            assert "=> 60" in await agent.run("len(kept)")
        # What was paid for is known, and can be had in parts.
        code = "sum(len(sub_llm(str(i))) for i in range(40))"
        reply = await agent.run(code)
        assert "0 sub-LLM calls, 40 cached" in reply


async def test_spaces_that_grow_at_once_leave_each_other_alone(connect: Connect) -> None:
    async with connect(limits=Limits(memory_mb=200, running=4)) as agent:
        names = ("a", "b", "c")
        for name in names:
            await agent.call("spaces", action="open", space=name)
            await agent.run("kept = 41", space=name)
        code = "a = []\nwhile True: a.append(bytes(10 ** 6))"
        for text in await asyncio.gather(
            *(agent.fails("exec_code", code=code, space=name, timeout_s=30) for name in names)
        ):
            assert "MemoryError" in text
        for name in names:
            assert "=> 42" in await agent.run("a = None; kept + 1", space=name)


async def test_a_memory_error_can_be_caught_again_and_again(arena: Arena) -> None:
    code = (
        "caught = 0\nfor _ in range(20):\n    try:\n        b = bytearray(2 ** 30)\n"
        "    except MemoryError:\n        caught += 1\ncaught"
    )
    assert "=> 20" in await arena.attack(code)
    code = (
        "parts = []\ntry:\n    while True: parts.append(bytearray(10 ** 6))\n"
        "except MemoryError:\n    n = len(parts); parts = parts[::2]\n"
        "more = bytearray(10 ** 6); n > 50"
    )
    assert "=> True" in await arena.attack(code)
    assert "=> 7" in await arena.agent.run("parts = more = None; 3 + 4")


async def test_memory_full_of_small_objects_leaves_room_to_drop_them(arena: Arena) -> None:
    full = "a = {}\nfor i in range(10 ** 9): a[i] = bytes(2000)"
    assert "MemoryError" in await arena.attack(full)
    assert "=> 0" in await arena.attack("n = len(a); a = None; 0")
    caught = f"try:\n    a = {{}}\n    for i in range(10 ** 9): a[i] = bytes(2000)\n{CATCH}"
    await arena.attack(caught)
    assert "LOST" not in await arena.attack("a = None")


CATCH = "except MemoryError:\n    pass"


async def test_forks_have_the_same_bound(arena: Arena) -> None:
    code = "def f(n): return len(bytearray(2 ** 29))\npmap(f, range(3), on_error='return')"
    assert "MemoryError" in await arena.attack(code)
    code = "def f(n): return 'x' * (8 * 10 ** 6)\npmap(f, range(16), workers=2)"
    assert "30 MB" in await arena.attack(code)
