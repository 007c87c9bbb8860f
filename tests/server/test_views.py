"""Views in a space: they survive, notice what becomes of their file, and name nothing else."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from rlm_mcp.lm import ScriptedModel
from rlm_mcp.space import Limits

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio

LINES = 200_000


def write_log(path: Path) -> str:
    text = "".join(
        f"line {i} héllo {'ERROR disk' if i % 1000 == 7 else 'fine'} of the whole long log\n"
        for i in range(LINES)
    )
    path.write_text(text)
    return text


async def view(agent: Agent, source: str = "app.log", name: str = "log", **more: object) -> str:
    reply = await agent.call("load_variable", name=name, source=source, format="view", **more)
    assert not reply.failed, reply.text
    return reply.text


async def test_a_file_above_the_threshold_stays_outside(connect: Connect, work: Path) -> None:
    text = write_log(work / "app.log")
    async with connect(limits=Limits(view_mb=1)) as agent:
        reply = await agent.call("load_variable", name="log", source="app.log")
        assert not reply.failed
        assert f"FileView of text, {len(text.encode()):,} bytes" in reply.text
        assert "--- first" in reply.text
        assert "line 0 héllo" in reply.text
        assert len(reply.text) < 3_000
        assert "=> True" in await agent.run(f"log.size == {len(text.encode())} == len(log)")
        # What is asked for by name is loaded as long as it fits.
        reply = await agent.call("load_variable", name="whole", source="app.log", format="text")
        assert "=> (True, True)" in await agent.run("log.to_str() == whole, type(whole) is str")


async def test_what_does_not_fit_becomes_a_view_whatever_the_format(
    connect: Connect, work: Path
) -> None:
    with (work / "huge.bin").open("wb") as file:
        file.truncate(3 << 30)
        file.seek((3 << 30) - 5)
        file.write(b"ends\n")
    async with connect(limits=Limits(memory_mb=256)) as agent:
        reply = await agent.call("load_variable", name="huge", source="huge.bin", format="bytes")
        assert "FileView of bytes, 3,221,225,472 bytes" in reply.text
        assert "=> (b'ends\\n', 3221225472)" in await agent.run("huge[-5:], huge.size")
        reply = await agent.call("exec_code", code="len(huge)")
        assert "use view.size" in reply.text
        reply = await agent.call("exec_code", code="huge.to_bytes()")
        assert "MemoryError" in reply.text
        assert "view.parts(n)" in reply.text


async def test_searching_on_the_host_gives_what_grep_gives(agent: Agent, work: Path) -> None:
    write_log(work / "app.log")
    await view(agent)
    await agent.call("load_variable", name="text", source="app.log", format="text")
    for pattern in ("ERROR", r"(?i)err\w+ d.sk\b", r"l(.)\1o.*ERROR", "^line 1999.7"):
        code = (
            f"a = grep({pattern!r}, log, context=1, max_hits=2000)\n"
            f"b = grep({pattern!r}, text, context=1, max_hits=2000)\n"
            "[(h.line, h.text, h.before, h.after) for h in a] == "
            "[(h.line, h.text, h.before, h.after) for h in b], a.complete == b.complete, "
            "all(log[h.start:].startswith(text[k.start:k.start + 3]) "
            "for h, k in list(zip(a, b))[:20])"
        )
        assert "=> (True, True, True)" in await agent.run(code), pattern
    assert "=> [200, 200, 7, 199007]" in await agent.run(
        "h = grep('ERROR', log)\n"
        "[len(h), log.count('ERROR'), *(int(r.text.split()[1]) for r in (h[0], h[-1]))]"
    )
    assert "=> (True, False)" in await agent.run(
        "log.find('line 199999 ') == log.rfind('line 199999 ') > 0, 'nowhere' in log"
    )
    assert "=> ('ERROR disk', 'disk')" in await agent.run(
        r"m = log.search(r'ERROR\s+(\w+)'); (log[m.start():m.end()], m[1])"
    )


async def test_lines_by_number_both_ways(agent: Agent, work: Path) -> None:
    text = write_log(work / "app.log")
    await view(agent)
    assert "=> ('line 123456 héllo fine of the whole long log', 200000)" in await agent.run(
        "log.lines[123456], log.line_count()"
    )
    offset = len(text[: text.index("line 150000 ")].encode())
    assert f"=> (150001, {offset})" in await agent.run(
        f"log.line_at({offset} + 3), log.offset_of(150001)"
    )
    assert "['line 199999 " in await agent.run("log.lines[-1:]")


async def test_peek_shows_parts_and_names_the_next_call(agent: Agent, work: Path) -> None:
    text = write_log(work / "app.log")
    await view(agent)
    reply = await agent.call("peek", target="log", start=-30, length=10)
    size = len(text.encode())
    assert f"bytes [{size - 30}:{size - 20}] of {size:,}" in reply.text
    reply = await agent.call("peek", target="log", unit="lines", start=1000, length=2)
    assert reply.text.startswith("line 1000 héllo fine")
    assert 'next: peek("log", start=1002, length=2, unit="lines")' in reply.text
    reply = await agent.call("peek", target="log", find="ERROR", context=1, max_chars=600)
    assert "8:" in reply.text
    following = re.search(r"next: peek\(\"log\", start=(\d+), find=\"ERROR\"", reply.text)
    assert following
    reply = await agent.call("peek", target="log", find="ERROR", start=int(following[1]))
    first = re.search(r"^(\d+):(\d+): line (\d+) ", reply.text, re.MULTILINE)
    assert first
    assert first[2] == following[1]
    assert int(first[1]) == int(first[3]) + 1, "lines are counted from the file's beginning"
    assert "no regular expression" in await agent.fails("peek", target="log", find="(")
    reply = await agent.call("peek", target="log")
    assert "FileView of text" in reply.text
    assert 'peek("log", length=8000)' in reply.text
    reply = await agent.call("spaces", action="info")
    assert "log: <FileView of text 'app.log'" in reply.text


async def test_a_view_survives_restarts_forks_undo_and_copies(connect: Connect, work: Path) -> None:
    write_log(work / "app.log")
    async with connect() as agent:
        await view(agent)
        await agent.run("first = log.lines[0]; part = log.parts(3)[1]")
        await agent.call("spaces", action="fork", name="other")
        assert "line 0 " in await agent.run("log.lines[0]", space="other")
        await agent.run("del log")
        await agent.call("spaces", action="undo")
        assert "line 5 " in await agent.run("log.lines[5]")
        await agent.call("spaces", action="open", name="third")
        reply = await agent.call(
            "load_variable", name="copy", source="space:main/log", space="third"
        )
        assert not reply.failed, reply.text
        assert "line 6 " in await agent.run("copy.lines[6]", space="third")
    async with connect() as agent:
        assert "line 7 " in await agent.run("log.lines[7]")
        assert "=> (True, 200)" in await agent.run(
            "part[:5] == log[part.begin:part.begin + 5], len(grep('ERROR', log))"
        )


async def test_parts_in_pmap_see_all_of_it_once(agent: Agent, work: Path) -> None:
    write_log(work / "app.log")
    await view(agent)
    assert f"=> (200, {LINES})" in await agent.run(
        "found = pmap(lambda part: (len(grep('ERROR', part)), part.line_count()), log.parts(5))\n"
        "sum(a for a, _ in found), sum(b for _, b in found)"
    )


async def test_a_log_that_grows_stays_and_is_taken_on_request(agent: Agent, work: Path) -> None:
    path = work / "app.log"
    write_log(path)
    await view(agent)
    await agent.run("before = log.size, log.line_count()")
    with path.open("a") as file:
        file.write("line new ERROR disk\nwithout end")
    assert "=> (True, 200, 'line 199999 héllo fine of the whole long log')" in await agent.run(
        "(log.size, log.line_count()) == before, len(grep('ERROR', log)), log.lines[-1]"
    )
    assert f"=> ({LINES + 2}, 201, 'without end', 200001)" in await agent.run(
        "log.refresh()\nlog.line_count(), len(grep('ERROR', log)), log.lines[-1], "
        "grep('ERROR', log)[-1].line"
    )
    # Growth is seen while code runs, too, and the known part can still be read.
    with path.open("a") as file:
        file.write("\nmore\n")
    assert "=> ('without end', ['more'])" in await agent.run(
        "a = log.tail(1)[0]; log.refresh(); a, log.tail(1)"
    )


@pytest.mark.parametrize("how", ["cut", "written over", "replaced", "removed"])
async def test_a_file_that_changed_is_an_error_until_it_is_taken_anew(
    agent: Agent, work: Path, how: str
) -> None:
    path = work / "app.log"
    path.write_text("first version\n" * 1000)
    await view(agent)
    assert "first" in await agent.run("log[:5]")
    if how == "cut":
        os.truncate(path, 50)
    elif how == "written over":
        path.write_text("other version\n" * 1000)
    else:
        path.unlink()
        if how == "replaced":
            path.write_text("other version\n" * 2000)
    for code in ("log[:5]", "log.lines[3]", "grep('x', log)", "log.find('x')", "list(log)"):
        reply = await agent.call("exec_code", code=code)
        assert reply.failed, code
        assert "ViewChangedError: 'app.log'" in reply.text, code
    assert "'app.log'" in (await agent.call("peek", target="log", start=5)).text
    reply = await agent.call("exec_code", code="log.refresh()[:5]")
    if how == "removed":
        assert "is gone" in reply.text
        assert "load another file" in reply.text
    else:
        assert ("=> 'first'" if how == "cut" else "=> 'other'") in reply.text
        await agent.run("old = 1")


async def test_a_root_that_is_no_longer_allowed_is_not_read(
    connect: Connect, work: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (work / "app.log").write_text("the secret itself\n" * 100)
    async with connect() as agent:
        await view(agent)
        assert "secret" in await agent.run("log[:20]")
    async with connect(allow=(other,)) as agent:
        for code in ("log[:20]", "grep('secret', log)", "log.lines[1]", "log.refresh()"):
            reply = await agent.call("exec_code", code=code)
            assert reply.failed
            assert "outside of the folders that may be read" in reply.text, code
            assert "secret itself" not in reply.text
            assert str(work) not in reply.text


async def test_guest_code_cannot_name_a_file(agent: Agent, work: Path) -> None:
    secret = work.parent / "secret.txt"
    secret.write_text("the secret itself\n" * 100)
    (work / "app.log").write_text("a log\n" * 100)
    await view(agent)
    for id in (str(secret), "../secret.txt", "0" * 32, "", "app.log", "%", "' OR 1 --"):
        for op in ("view_open", "view_find", "view_index", "view_refresh"):
            code = (
                "import _host, json\n"
                f"ask = dict(op={op!r}, id={id!r}, slot=1, pattern='secret', begin=0, end=10, "
                "most=5)\n"
                "print(_host.call(b'C' + json.dumps(ask).encode()))"
            )
            assert "no such view" in await agent.run(code), (id, op)
    # What is asked of a view that exists is bounded, and patterns are no options.
    for wrong in (
        "slot=-1", "slot=64", "slot='1'", "begin=-1", "end=10**30", "begin=0.5", "most=None",
        "begin=9, end=3", "pattern=5", "pattern='a\\nb'", "pattern='é'",
        "pattern='x' * 70000", "pattern='\\0'",
    ):  # fmt: skip
        code = (
            "import _host, json\n"
            "ask = dict(op='view_find', id=log._id, slot=1, pattern='a', begin=0, end=10, most=5)\n"
            f"ask.update({wrong})\n"
            "print(_host.call(b'C' + json.dumps(ask).encode()))"
        )
        assert "refused" in await agent.run(code), wrong
    code = (
        "import _host, json\n"
        "ask = dict(op='view_find', id=log._id, slot=1, begin=0, end=600, most=5, "
        f"pattern='--file={secret}')\n"
        "print(_host.call(b'C' + json.dumps(ask).encode()))"
    )
    assert '"size": 0' in await agent.run(code)
    # Reading by a number that nothing is open under is a fault of the guest's.
    assert (
        "fault"
        in (
            await agent.call(
                "exec_code",
                code="import _host, struct; _host.call(b'V' + struct.pack('<IIIQ', 40, 0, 10, 0))",
            )
        ).text
    )


async def test_a_link_that_leads_out_later_is_not_followed(agent: Agent, work: Path) -> None:
    secret = work.parent / "secret.txt"
    secret.write_text("the secret itself\n" * 100)
    path = work / "app.log"
    path.write_text("a log\n" * 100)
    await view(agent)
    path.unlink()
    path.symlink_to(secret)
    reply = await agent.call("exec_code", code="log[:20]")
    assert reply.failed
    assert "secret itself" not in reply.text
    reply = await agent.call("exec_code", code="log.refresh()[:20]")
    assert reply.failed
    assert "secret itself" not in reply.text


async def test_a_long_search_ends_at_the_deadline_and_when_cancelled(
    agent: Agent, work: Path
) -> None:
    with (work / "sparse.log").open("wb") as file:
        file.truncate(1 << 42)  # hours of searching
    await view(agent, "sparse.log")
    assert "STOPPED after" in await agent.stopped("x = 1; grep('needle', log)")
    assert "=> 1" in await agent.run("x")
    running = asyncio.create_task(agent.call("exec_code", code="y = 2; grep('needle', log)"))
    while not _searching():
        await asyncio.wait([running], timeout=0.02)
    running.cancel()
    await asyncio.wait([running])
    assert "=> 2" in await agent.run("y")
    assert not _searching()


def _searching() -> list[str]:
    """The search programs that this process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            command = folder.joinpath("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(parent) == os.getpid() and command[0].endswith(b"/rg"):
            found.append(folder.name)
    return found


async def test_rows_of_tables_come_in_chunks(agent: Agent, work: Path) -> None:
    (work / "t.csv").write_text("a;b\n" + "".join(f"{i};ö{i}\n" for i in range(25_000)))
    (work / "t.jsonl").write_text("".join(f'{{"n": {i}}}\n' for i in range(1000)))
    await view(agent, "t.csv", "table")
    await view(agent, "t.jsonl", "values")
    assert "=> ([10000, 10000, 5000], 312487500, 'ö24999')" in await agent.run(
        "frames = list(table.rows(10_000))\n"
        "[len(f) for f in frames], int(sum(f.a.sum() for f in frames)), frames[-1].b.iloc[-1]"
    )
    assert "=> 499500" in await agent.run("sum(v['n'] for v in values.rows())")


async def test_a_view_is_saved_and_asked_about_as_what_it_holds(agent: Agent, work: Path) -> None:
    text = write_log(work / "app.log")
    await view(agent)
    reply = await agent.call("save_variable", name="log", path="copy.log")
    assert not reply.failed, reply.text
    assert (work / "copy.log").read_text() == text
    assert "=> True" in await agent.run("pieces = chunks(log, 100_000); ''.join(pieces) == log[:]")
    assert "=> (True, True)" in await agent.run(
        "piece = pieces[7]; found = lines(log, piece.line, piece.end_line)\n"
        "piece.splitlines() == found, cite(piece).text == piece[:2000]"
    )


async def test_a_model_is_asked_about_what_a_view_holds(connect: Connect, work: Path) -> None:
    (work / "note.txt").write_text("what the file says")
    with (work / "huge.txt").open("wb") as file:
        file.write(b"text\n" * 2000)
        file.truncate(200 << 20)
    async with connect(ScriptedModel(lambda request: f"<{request.prompt.text}>")) as agent:
        await view(agent, "note.txt", "note")
        await view(agent, "huge.txt", "huge")
        reply = await agent.call("sub_llm", prompt="Sum up: {{note}}", into="answer")
        assert not reply.failed, reply.text
        assert "=> '<Sum up: what the file says>'" in await agent.run("answer")
        error = await agent.fails("sub_llm", prompt="Sum up: {{huge}}", into="answer")
        assert "pass slices of it" in error


async def test_a_view_is_of_one_file(agent: Agent, work: Path) -> None:
    (work / "a.txt").write_text("a")
    for source in (".", "*.txt"):
        error = await agent.fails("load_variable", name="v", source=source, format="view")
        assert "one file" in error
    (work / "empty.txt").write_text("")
    assert "(empty)" in await view(agent, "empty.txt", "empty")
    assert "=> (0, '', [], [], -1, None)" in await agent.run(
        "v = empty\nv.size, v[:5], list(v), list(grep('', v)), v.find('x'), v.search('x')"
    )
