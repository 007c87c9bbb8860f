"""Where values came from, citations, and reports that a person can follow."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from mcp.client.client import Client

from rlm_mcp.server import make_server
from rlm_mcp.settings import Settings
from tests.conftest import Agent

pytestmark = pytest.mark.anyio

LOG = "".join(f"line {i}\n" for i in range(1, 201))


@pytest.fixture
async def loaded(agent: Agent, work: Path) -> Agent:
    """A space with a file, a folder and a glob."""
    (work / "app.log").write_text(LOG)
    (work / "repo/src").mkdir(parents=True)
    (work / "repo/src/a.py").write_text("def alpha():\n    return 'lock expired'\n")
    (work / "repo/b.md").write_bytes("# Größe\n".encode("cp1252"))
    (work / "rows.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    for name, source in (
        ("log", "app.log"), ("repo", "repo"), ("logs", "*.log"), ("rows", "rows.jsonl"),
    ):  # fmt: skip
        reply = await agent.call("load_variable", name=name, source=str(work / source))
        assert not reply.failed, reply.text
    return agent


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_every_loaded_value_knows_its_source(loaded: Agent, work: Path) -> None:
    reply = await loaded.run("source_of('log')")
    assert f"{work}/app.log, 1,692 bytes, sha256 {digest(work / 'app.log')}, loaded 20" in reply
    for target in ("repo['src/a.py']", "'repo[\"src/a.py\"]'"):
        reply = await loaded.run(f"source_of({target})")
        assert f"{work}/repo/src/a.py" in reply and digest(work / "repo/src/a.py") in reply
    reply = await loaded.run("source_of(repo)")
    assert f"{work}/repo, 47 bytes, 2 files" in reply
    assert digest(work / "rows.jsonl") in await loaded.run("source_of(rows)")
    reply = await loaded.run("source_of('logs[\"app.log\"]')")
    assert f"{work}/app.log" in reply and digest(work / "app.log") in reply


async def test_what_code_makes_is_not_taken_for_the_source(loaded: Agent) -> None:
    await loaded.run("log = log.upper(); mine = 'a' * 3_000")
    for target in ("'log'", "log", "'mine'", "5", "'no_such_name'", "'not ( a path'"):
        assert "sha256" not in await loaded.run(f"source_of({target})"), target
    assert "made by code in the space" in await loaded.run("cite('mine')")
    await loaded.call("load_variable", name="log", value="inline text")
    assert "a value given in the call" in await loaded.run("source_of('log')")


async def test_a_value_at_the_address_of_one_that_is_gone_is_not_taken_for_it(
    loaded: Agent,
) -> None:
    await loaded.run("number = id(rows); del rows")
    await loaded.run(
        "made = []\n"
        "while len(made) < 100_000 and (not made or id(made[-1]) != number):\n"
        "    made.append([len(made)])\n"
        "rows = made.pop()"
    )
    assert "=> True" in await loaded.run("id(rows) == number")
    assert "made by code in the space" in await loaded.run("cite('rows')")


async def test_a_citation_names_path_lines_and_digest(loaded: Agent, work: Path) -> None:
    await loaded.run("hit = grep('line 12$', log)[0]; other = search('lock expiring', repo)[0]")
    reply = await loaded.run("cite(hit)")
    assert f"[cite:1] {work}/app.log:12 (sha256 {digest(work / 'app.log')})" in reply
    reply = await loaded.run("cite(other)")
    assert f"[cite:2] {work}/repo/src/a.py:1-2 (sha256 {digest(work / 'repo/src/a.py')})" in reply
    reply = await loaded.run("cite('log', 120, 134), cite(log, 5), cite('repo[\"src/a.py\"]', 2)")
    assert "app.log:120-134" in reply and "app.log:5 " in reply and "a.py:2 " in reply
    assert "[cite:1]" in await loaded.run("cite(hit)")  # the same place is cited once
    piece = await loaded.run("cite(chunks(log, 100)[1])")
    assert "app.log:14-25 " in piece
    reply = await loaded.run("evidence()")
    assert "6 citations" in reply and "line 120 line 121" in reply


async def test_text_that_was_changed_after_it_was_loaded_is_cited_as_such(loaded: Agent) -> None:
    await loaded.run("cite('repo[\"b.md\"]', 1)")
    assert "was changed" not in await loaded.run("evidence()")  # cp1252 is what the file holds
    await loaded.run("repo['src/a.py'] += '# more\\n'")
    assert "the text was changed after it was loaded" in await loaded.run(
        "cite('repo[\"src/a.py\"]', 1)"
    )


async def test_places_that_do_not_exist_cannot_be_cited(loaded: Agent) -> None:
    for code, words in (
        ("cite('log', 5, 900)", "it has lines 1 to 200"),
        ("cite('log', 0)", "it has lines 1 to 200"),
        ("cite('rows', 1)", "it has no lines"),
        ("cite('nothing')", "takes a hit"),
        ("cite('repo[\"x.py\"]')", "has no key"),
        ("cite(5)", "takes a hit"),
        ("cite(grep('line', 'a line')[0])", "search a variable itself"),
    ):
        assert words in await loaded.fails("exec_code", code=code), code
    assert "nothing was cited yet" in await loaded.fails("peek", target="cite:1")


async def test_peek_shows_what_was_cited(loaded: Agent) -> None:
    await loaded.run("cite('log', 120, 122)")
    reply = await loaded.call("peek", target="cite:1")
    assert "app.log:120-122" in reply.text and "120: line 120\n121: line 121\n122:" in reply.text
    reply = await loaded.call("peek", target="cite:1", find="121")
    assert "1 match" in reply.text
    assert "there are cite:1 to cite:1" in await loaded.fails("peek", target="cite:7")
    await loaded.run("log = 'x'")
    reply = await loaded.call("peek", target="cite:1")
    assert "the variable has changed since" in reply.text and "121: line 121" in reply.text
    await loaded.run("del log")
    reply = await loaded.call("peek", target="cite:1")
    assert "there is no variable 'log' any more" in reply.text and "121: line 121" in reply.text


async def test_a_report_has_notes_that_lead_to_the_sources(loaded: Agent, work: Path) -> None:
    await loaded.run(
        "first, second = cite('log', 3), cite('repo[\"src/a.py\"]', 2)\n"
        "report = f'It expired {second}, as said {first}{second}. No [cite:99].\\n'"
    )
    for name, mark in (("report.md", "[^2]"), ("report.txt", "[cite:2]")):
        reply = await loaded.call("save_variable", name="report", path=str(work / name))
        assert not reply.failed, reply.text
        text = (work / name).read_text()
        assert text.startswith(f"It expired {mark}, as said") and "No [cite:99]." in text
        _, _, notes = text.partition("Sources\n")
        sha = digest(work / "repo/src/a.py")
        assert (
            f"{mark}{':' if name.endswith('.md') else ''} {work}/repo/src/a.py:2 (sha256 {sha})"
            in notes
        )
        assert notes.count("app.log:3 ") == 1
    await loaded.call("save_variable", name="report", path=str(work / "report.py"))
    assert "Sources" not in (work / "report.py").read_text()  # code stays as it is
    await loaded.run("report = 'nothing cited'")
    await loaded.call("save_variable", name="report", path=str(work / "r.md"))
    assert (work / "r.md").read_text() == "nothing cited"


async def test_sources_and_citations_survive_a_restart_and_are_undone(
    loaded: Agent, settings: Settings
) -> None:
    await loaded.run("cite('log', 1)")
    await loaded.run("cite('log', 2)")
    await loaded.call("spaces", action="undo")
    assert "1 citation" in await loaded.run("evidence()")
    await loaded.call("spaces", action="close")
    async with Client(make_server(settings)) as client:
        again = Agent(client)
        await again.call("spaces", action="open", space="main")
        assert "app.log:1 " in await again.run("evidence()")
        assert "sha256" in await again.run("source_of('repo[\"b.md\"]')")
        assert "[cite:2]" in await again.run("cite('log', 9)")
