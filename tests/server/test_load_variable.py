"""What an agent gets from `load_variable`: the right value, and a preview that tells it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio


async def load(agent: Agent, **arguments: object) -> str:
    reply = await agent.call("load_variable", name="v", **arguments)
    assert not reply.failed, reply.text
    return reply.text


async def test_text_keeps_its_characters(agent: Agent, work: Path) -> None:
    (work / "a.txt").write_bytes("first\r\nsecond \u20ac \U0001f600\n\tlast".encode())
    reply = await load(agent, source="a.txt")
    assert reply.startswith("v: str 23 chars, 3 lines")
    assert "second" in reply
    assert "=> True" in await agent.run("v == 'first\\r\\nsecond \u20ac \U0001f600\\n\\tlast'")
    assert "str 23 chars" in await load(agent, source=str(work / "a.txt"))
    assert "str 23 chars" in await load(agent, source="./x/../a.txt")


async def test_encodings_are_recognised_and_a_guess_is_said(agent: Agent, work: Path) -> None:
    text = "Grüße aus München, schöne Füße, größer, Übermut und Öl"
    (work / "bom.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    reply = await load(agent, source="bom.txt")
    assert "note" not in reply
    assert f"=> {text!r}" in await agent.run("v")
    for encoding in ("utf-16", "utf-16-be", "utf-32"):
        marked = text if encoding != "utf-16-be" else "\ufeff" + text
        (work / "wide.txt").write_bytes(marked.encode(encoding))
        await load(agent, source="wide.txt")
        assert f"=> {text!r}" in await agent.run("v"), encoding
    (work / "latin.txt").write_bytes(text.encode("latin-1"))
    reply = await load(agent, source="latin.txt")
    assert "note: The text is not UTF-8" in reply
    assert "guess" in reply
    assert f"=> {text!r}" in await agent.run("v")


async def test_an_empty_file_is_an_empty_text_and_says_so(agent: Agent, work: Path) -> None:
    (work / "empty.txt").touch()
    assert "empty" in await load(agent, source="empty.txt")
    assert "=> ''" in await agent.run("v")
    for kind, value in (("bytes", "b''"), ("lines", "[]"), ("jsonl", "[]")):
        await load(agent, source="empty.txt", format=kind)
        assert f"=> {value}" in await agent.run("v"), kind
    text = await agent.fails("load_variable", name="v", source="empty.txt", format="json")
    assert "empty" in text
    (work / "empty.csv").touch()
    assert "empty" in await load(agent, source="empty.csv")
    text = await agent.fails("load_variable", name="v", source="empty.csv", format="csv")
    assert "no table" in text


async def test_a_folder_is_a_dict_of_path_to_text(agent: Agent, work: Path) -> None:
    project = work / "project"
    for name, content in {
        ".gitignore": b"*.log\nbuild/\n!keep.log\n",
        "src/a.py": b"import os\n",
        "src/deep/b.py": "x = '\u20ac'\n".encode(),
        "noise.log": b"log",
        "keep.log": b"kept",
        "build/out.txt": b"built",
        "data.bin": b"\0\1\2",
        ".git/config": b"[core]",
        "utf16.txt": "wide".encode("utf-16"),
        "none": b"",
    }.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    reply = await load(agent, source="project")
    assert "left out" in reply
    assert "binary" in reply
    assert "ignored" in reply
    keys = "['.gitignore', 'keep.log', 'none', 'src/a.py', 'src/deep/b.py', 'utf16.txt']"
    assert f"=> {keys}" in await agent.run("sorted(v)")
    assert "=> ('import os\\n', \"x = '€'\\n\", '', 'wide')" in await agent.run(
        "v['src/a.py'], v['src/deep/b.py'], v['none'], v['utf16.txt']"
    )
    await load(agent, source="project", pattern="*.py")
    assert "=> ['src/a.py', 'src/deep/b.py']" in await agent.run("sorted(v)")
    await load(agent, source="project/src/*.py")
    assert "=> 1" in await agent.run("len(v)")
    await load(agent, source="project/**/*.py")
    assert "=> 2" in await agent.run("len(v)")
    await load(agent, source="project", format="bytes", pattern="*.bin")
    assert "=> {'data.bin': b'\\x00\\x01\\x02'}" in await agent.run("v")


async def test_a_folder_or_pattern_without_files_says_so(agent: Agent, work: Path) -> None:
    (work / "void" / "deeper").mkdir(parents=True)
    text = await agent.fails("load_variable", name="v", source="void")
    assert "no files to load" in text
    (work / "void" / "x.bin").write_bytes(b"\0")
    text = await agent.fails("load_variable", name="v", source="void")
    assert "1 binary" in text
    assert "format='bytes'" in text
    text = await agent.fails("load_variable", name="v", source="void", pattern="*.rs")
    assert "'*.rs'" in text
    assert "*.go" in await agent.fails("load_variable", name="v", source="**/*.go")


async def test_formats_give_the_values_that_code_expects(agent: Agent, work: Path) -> None:
    (work / "a.txt").write_bytes(b"one\r\ntwo\n\nlast")
    await load(agent, source="a.txt", format="bytes")
    assert "=> b'one\\r\\ntwo\\n\\nlast'" in await agent.run("v")
    await load(agent, source="a.txt", format="lines")
    assert "=> ['one', 'two', '', 'last']" in await agent.run("v")
    (work / "a.json").write_text('{"a": [1, 2.5, null, true], "\u20ac": {}}')
    await load(agent, source="a.json")
    assert "=> {'a': [1, 2.5, None, True], '€': {}}" in await agent.run("v")
    await load(agent, source="a.json", format="text")
    assert "=> True" in await agent.run("type(v) is str")
    (work / "a.jsonl").write_text('{"a": 1}\n\n[2]\n"three"\n')
    await load(agent, source="a.jsonl")
    assert "=> [{'a': 1}, [2], 'three']" in await agent.run("v")


async def test_tables_are_data_frames(agent: Agent, work: Path) -> None:
    (work / "a.csv").write_text('name,n\n"x, y",1\nz,2\n')
    reply = await load(agent, source="a.csv")
    assert "DataFrame 2 rows x 2 columns" in reply
    assert "=> [['x, y', 1], ['z', 2]]" in await agent.run("v.values.tolist()")
    (work / "a.tsv").write_text("name\tn\nx, y\t1\n")
    assert "DataFrame 1 row" in await load(agent, source="a.tsv")
    (work / "semicolons.csv").write_text("a;b\n1;2\n")
    assert "separated by ';'" in await load(agent, source="semicolons.csv")
    (work / "latin.csv").write_bytes("Ort;Straße\nKöln;Große Allee\n".encode("latin-1"))
    assert "guess" in await load(agent, source="latin.csv")
    (work / "shifted.csv").write_text("a,b\n1,2,3\n")
    assert "first column was taken for the index" in await load(agent, source="shifted.csv")
    (work / "ragged.csv").write_text("a,b\n1,2\n1,2,3,4\n")
    text = await agent.fails("load_variable", name="v", source="ragged.csv")
    assert "line 3" in text


async def test_what_is_not_of_the_format_says_where_and_leaves_the_variable(
    agent: Agent, work: Path
) -> None:
    await load(agent, value="before")
    (work / "bad.json").write_text('{"a": 1,\n "b": }')
    text = await agent.fails("load_variable", name="v", source="bad.json")
    assert "line 2, column 7" in text
    assert "format='text'" in text
    (work / "bad.jsonl").write_text('{"a": 1}\n{"a": 2}\nnope\n')
    text = await agent.fails("load_variable", name="v", source="bad.jsonl")
    assert "line 3" in text
    assert "'nope'" in text
    (work / "lines.json").write_text('{"a": 1}\n{"a": 2}\n')
    text = await agent.fails("load_variable", name="v", source="lines.json")
    assert "format='jsonl'" in text
    (work / "deep.json").write_text("[" * 200_000)
    text = await agent.fails("load_variable", name="v", source="deep.json")
    assert "deeply" in text
    assert "=> 'before'" in await agent.run("v")


async def test_inline_values_are_text_or_json(agent: Agent) -> None:
    for value, shown in (
        ("a\nb", "'a\\nb'"),
        ({"k": [1, None, {"\u20ac": 0.5}]}, "{'k': [1, None, {'€': 0.5}]}"),
        ([1, "two"], "[1, 'two']"),
        (5, "5"),
        (False, "False"),
        ("", "''"),
    ):
        await load(agent, value=value)
        assert f"=> {shown}\n" in await agent.run("v"), value
    await load(agent, value="a,b\n1,2", format="csv")
    assert "=> (1, 2)" in await agent.run("v.shape")
    await load(agent, value="[1, 2]", format="json")
    assert "=> [1, 2]" in await agent.run("v")
    await load(agent, value="x\ny\n", format="lines")
    assert "=> ['x', 'y']" in await agent.run("v")


async def test_a_replaced_variable_is_the_new_one_and_a_load_can_be_undone(agent: Agent) -> None:
    await load(agent, value="old")
    await load(agent, value="new")
    assert "=> 'new'" in await agent.run("v")
    assert "undone" in (await agent.call("spaces", action="undo")).text
    assert "undone" in (await agent.call("spaces", action="undo")).text
    assert "=> 'old'" in await agent.run("v")


async def test_keys_that_come_twice_in_json_are_noted(agent: Agent, work: Path) -> None:
    (work / "twice.json").write_text('[{"id": 1, "id": 2}, {"id": 3}, {"a": {"b": 1, "b": 2}}]')
    (work / "twice.jsonl").write_text('{"id": 1, "id": 2}\n{"id": 3}\n')
    reply = await agent.call("load_variable", name="v", source="twice.json")
    assert "2 objects have a key twice, such as 'id': the last value was kept" in reply.text
    assert "=> [{'id': 2}, {'id': 3}, {'a': {'b': 2}}]" in await agent.run("v")
    reply = await agent.call("load_variable", name="v", source="twice.jsonl")
    assert "1 object has a key twice" in reply.text


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ('{"a" : 1, "a": 2}', 1),  # one colon is missed, and one key
        ('{"a"\n:1, "b":1, "b":2}', 1),
        (r'{"a\\": 1, "b": 1, "b": 2}', 1),
        (r'{"said": "{\"id\":1, \"id\":2}", "at": "5 : 6", "x\": ": "\":"}', 0),
        (r'{"said": "\\", "a\\": ["x", {"y":1}], "b": {}}', 0),
        ('{"a": {"b":1, "c":[{"d":1}]}, "a": 2}', 1),
        ('"a:"', 0),
    ],
)
async def test_keys_are_counted_however_they_are_written(
    agent: Agent, work: Path, text: str, twice: int
) -> None:
    (work / "v.json").write_text(text)
    (work / "v.jsonl").write_text(" ".join(text.split("\n")) + "\n")
    for name in ("v.json", "v.jsonl"):
        reply = await agent.load(name)
        assert ("has a key twice" in reply) is bool(twice), reply
    assert "=> True" in await agent.run(f"import json; v == [json.loads({text!r})]")
