"""Large sources: what arrives is the file, and what follows is not slower for it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from rlm_mcp.space import Limits

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio

WINDOW = 8 << 20
DIGEST = "import hashlib; hashlib.sha256(v if type(v) is bytes else v.encode()).hexdigest()"


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def same(agent: Agent, path: Path, kind: str = "auto") -> None:
    reply = await agent.call("load_variable", name="v", source=path.name, format=kind)
    assert not reply.failed, reply.text
    assert f"=> '{digest_of(path)}'" in await agent.run(DIGEST)


async def test_a_large_ascii_file_is_loaded_as_it_is(agent: Agent, work: Path) -> None:
    line = b"".join(b"%07d the quick brown fox jumps over the lazy dog\n" % i for i in range(1000))
    path = work / "large.txt"
    path.write_bytes(line * ((30 << 20) // len(line)))
    await same(agent, path)
    assert "=> True" in await agent.run("v.isascii() and len(v) > 30_000_000")
    await agent.run("v[:5], v[-5:], v.count('fox')")
    newest = (await agent.call("spaces", action="info")).text.partition("commit: what made it")[2]
    found = re.search(r"execution 3, ([\d,]+) (KB|MB) new", newest)
    assert found
    assert found[2] == "KB" or int(found[1]) < 10, "the text must not be committed again"


async def test_large_text_that_is_not_ascii(agent: Agent, work: Path) -> None:
    path = work / "wide.txt"
    for character in ("é", "€", "\U0001f600"):
        text = "plain text before it\n" * 200_000 + character
        path.write_text(text + "and after, " * 300_000)
        await same(agent, path)
        assert f"=> '{character}'" in await agent.run(f"v[{len(text) - 1}]")


async def test_texts_as_long_as_the_windows_they_are_read_in(agent: Agent, work: Path) -> None:
    path = work / "window.txt"
    for size in (WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW):
        path.write_bytes(b"a" * size)
        await same(agent, path)
    # A character that lies across the border of two windows.
    for before in (WINDOW - 1, WINDOW - 2):
        path.write_bytes(b"a" * before + "€".encode() + b"b" * WINDOW)
        await same(agent, path)
    path.write_bytes(bytes(range(256)) * (WINDOW // 256) + b"\0")
    await same(agent, path, "bytes")


async def test_text_whose_encoding_changes_late_is_still_decoded(agent: Agent, work: Path) -> None:
    path = work / "late.txt"
    path.write_bytes(b"ascii only so far\n" * 600_000 + "schöne Grüße\n".encode("latin-1") * 50)
    reply = await agent.call("load_variable", name="v", source="late.txt")
    assert not reply.failed
    assert "guess" in reply.text
    assert "=> 'schöne Grüße'" in await agent.run("v.splitlines()[-1]")


async def test_many_small_files_arrive_each_with_its_own_text(agent: Agent, work: Path) -> None:
    folder = work / "many"
    for index in range(1500):
        path = folder / f"{index % 20}" / f"{index}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {index} " + "é" * (index % 3) + "x" * (index % 7))
    reply = await agent.call("load_variable", name="v", source="many")
    assert "1,500" in reply.text
    assert "=> True" in await agent.run(
        "all(text == f'file {i} ' + 'é' * (i % 3) + 'x' * (i % 7)"
        " for path, text in v.items() for i in [int(path.split('/')[1][:-4])])"
    )


async def test_a_load_that_does_not_fit_leaves_the_space_usable(
    connect: Connect, work: Path
) -> None:
    (work / "big.txt").write_bytes(b"x" * (100 << 20))
    (work / "wide.txt").write_text("x" * (60 << 20) + "\U0001f600")
    async with connect(limits=Limits(memory_mb=256)) as agent:
        await agent.run("before = 1")
        assert "memory" in await agent.fails("load_variable", name="v", source="wide.txt")
        assert "=> (1, False)" in await agent.run("before, 'v' in globals()")
        reply = await agent.call("load_variable", name="v", source="big.txt")
        assert not reply.failed, reply.text
        assert "=> 104857600" in await agent.run("len(v)")
