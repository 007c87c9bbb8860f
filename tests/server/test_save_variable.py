"""What `save_variable` writes, and what it refuses to."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio

MAKE = (
    "import pandas as pd\n"
    "text = 'one\\ntwo €\\n'; lines_ = ['a', 'b']; data = b'\\x00\\xff'\n"
    "rows = [{'n': 1, 't': 'x, y'}, {'n': 2, 't': None}]\n"
    "frame = pd.DataFrame(rows); nan = [float('nan'), 1.5]"
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def save(agent: Agent, name: str, path: str, **arguments: object) -> str:
    reply = await agent.call("save_variable", name=name, path=path, **arguments)
    assert not reply.failed, reply.text
    return reply.text


async def test_the_format_goes_by_the_ending_or_is_said(agent: Agent, work: Path) -> None:
    await agent.run(MAKE)
    assert await save(agent, "text", "a.txt") == "wrote 12 bytes to a.txt as text"
    assert (work / "a.txt").read_text() == "one\ntwo €\n"
    await save(agent, "lines_", "lines.txt")
    assert (work / "lines.txt").read_text() == "a\nb\n"
    await save(agent, "data", "data.bin")
    assert (work / "data.bin").read_bytes() == b"\x00\xff"
    await save(agent, "rows", "rows.json")
    assert json.loads((work / "rows.json").read_text())[0] == {"n": 1, "t": "x, y"}
    await save(agent, "rows", "rows.jsonl")
    assert len((work / "rows.jsonl").read_text().splitlines()) == 2
    await save(agent, "nan", "nan.json")
    assert json.loads((work / "nan.json").read_text()) == [None, 1.5]
    await save(agent, "frame", "frame.csv")
    with (work / "frame.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["n", "t"], ["1", "x, y"], ["2", ""]]
    await save(agent, "rows", "table.md")
    assert (work / "table.md").read_text().startswith("| n | t |\n")
    await save(agent, "rows[0]['t']", "part.txt")
    assert (work / "part.txt").read_text() == "x, y"
    await save(agent, "rows", "odd.xyz", format="csv")
    assert (work / "odd.xyz").read_text().startswith("n,t\n")


async def test_what_was_saved_loads_as_the_same_value(agent: Agent, work: Path) -> None:
    await agent.run(
        "big = 'é' * 3_000_000 + 'end'; rows = [{'i': i, 't': 'x' * 50} for i in range(30_000)]"
    )
    await save(agent, "big", "big.txt")
    await save(agent, "rows", "rows.jsonl")
    await agent.call("load_variable", name="b2", source="big.txt")
    await agent.call("load_variable", name="r2", source="rows.jsonl")
    assert "=> (True, True)" in await agent.run("b2 == big, r2 == rows")


async def test_an_existing_file_is_only_replaced_when_that_is_said(
    agent: Agent, work: Path
) -> None:
    await agent.run("new = 'new'; odd = object()")
    (work / "a.txt").write_text("old")
    (work / "a.txt").chmod(0o640)
    text = await agent.fails("save_variable", name="new", path="a.txt")
    assert "exists already" in text
    assert "overwrite" in text
    assert (work / "a.txt").read_text() == "old"
    await save(agent, "new", "a.txt", overwrite=True)
    assert (work / "a.txt").read_text() == "new"
    assert (work / "a.txt").stat().st_mode & 0o777 == 0o640
    await agent.fails("save_variable", name="odd", path="a.txt", overwrite=True)
    assert (work / "a.txt").read_text() == "new"
    assert names(work) == ["a.txt"], "nothing half-written is left"


async def test_nothing_outside_of_the_allowed_folders_is_written(agent: Agent, work: Path) -> None:
    await agent.run("t = 'written'")
    outside = work.parent / "outside"
    outside.mkdir()
    (outside / "victim.txt").write_text("untouched")
    (work / "link").symlink_to(outside / "victim.txt")
    (work / "folder").symlink_to(outside)
    (work / "dangling").symlink_to(outside / "new.txt")
    for path in (
        "../outside/new.txt", str(outside / "new.txt"), "link", "folder/new.txt", "dangling",
        "/tmp/rlm-mcp-test.txt", "folder/../../outside/new.txt",
    ):  # fmt: skip
        text = await agent.fails("save_variable", name="t", path=path, overwrite=True)
        assert "outside of the allowed folders" in text, path
    assert names(outside) == ["victim.txt"]
    assert (outside / "victim.txt").read_text() == "untouched"


async def test_targets_that_cannot_be_written_say_why(agent: Agent, work: Path) -> None:
    await agent.run("t = 'x'; n = 5; f = open")
    (work / "folder").mkdir()
    os.mkfifo(work / "pipe")
    for name, path, expected in (
        ("t", "no/such/a.txt", "does not exist"),
        ("t", "folder", "folder"),
        ("t", ".", "folder"),
        ("t", "", "empty"),
        ("t", "pipe", "not a regular file"),
        ("t", ".git/hooks/pre-commit", ".git"),
        ("tt", "a.txt", "'t'"),
        ("f", "a.json", "no JSON form"),
        ("{}", "a.json", "Dict"),
    ):
        text = await agent.fails("save_variable", name=name, path=path, overwrite=True)
        assert expected in text, (path, text)
    assert names(work) == ["folder", "pipe"]


async def test_saving_does_not_change_the_space(agent: Agent, work: Path) -> None:
    await agent.run("class Once(list): pass\ngen = Once([1]); it = (i for i in range(3)); log = []")
    await agent.call("save_variable", name="it", path="it.json")
    assert "=> [0, 1, 2]" in await agent.run("list(it)")
