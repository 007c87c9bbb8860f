"""Citations of views: lines of the whole file, and what is said once the file is another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from mcp.client.client import Client

from rlm_mcp.server import make_server
from rlm_mcp.settings import Settings

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio

ROWS = [f"row {i} {'ERROR é disk' if i % 100 == 50 else 'fine'}\n" for i in range(1, 1001)]


def sha(*rows: str) -> str:
    return hashlib.sha256("".join(rows).encode()).hexdigest()


@pytest.fixture
async def viewing(agent: Agent, work: Path) -> Agent:
    """A space with a view of a log."""
    (work / "app.log").write_text("".join(ROWS))
    os.utime(work / "app.log", (1_700_000_000, 1_700_000_000))
    reply = await agent.call("load_variable", name="log", source="app.log", format="view")
    assert not reply.failed, reply.text
    return agent


async def test_a_place_in_a_view_is_cited_with_what_tells_whether_it_still_holds(
    viewing: Agent, work: Path
) -> None:
    size = (work / "app.log").stat().st_size
    facts = f"({size:,} bytes as changed 2023-11-14T22:13:20+00:00, not read as a whole; sha256 of"
    reply = await viewing.run("cite(grep('ERROR', log)[1])")
    assert f"[cite:1] app.log:150 {facts} these lines {sha(ROWS[149])})" in reply
    reply = await viewing.run("cite('log', 149, 151), cite('log'), source_of('log')")
    assert f"app.log:149-151 {facts} these lines {sha(*ROWS[148:151])}" in reply
    assert f"[cite:3] app.log ({size:,} bytes as changed" in reply
    assert f"app.log, {size:,} bytes, as changed 2023" in reply
    shown = (await viewing.call("peek", target="app.log:149-151")).text
    assert "149: row 149 fine\n150: row 150 ERROR é disk\n151: row 151 fine" in shown
    assert "changed since" not in shown
    for code in ("cite('log', 0)", "cite('log', 1000, 1001)", "cite('log', 5, 4)"):
        assert "lines" in await viewing.fails("exec_code", code=code)
    assert "it has lines 1 to 1000" in await viewing.fails("exec_code", code="cite('log', 1001)")


async def test_what_parts_of_a_view_hold_is_cited_by_the_lines_of_the_file(viewing: Agent) -> None:
    await viewing.run(
        "found = [h for hits in pmap(lambda part: list(grep('ERROR', part)), log.parts(4)) "
        "for h in hits]\nplaces = [cite(h) for h in found]"
    )
    reply = await viewing.run("[c.reference for c in places]")
    assert f"=> {[f'app.log:{n}' for n in range(50, 1001, 100)]}" in reply
    shown = (await viewing.call("peek", target="cite:9")).text
    assert "850: row 850 ERROR é disk" in shown and "changed" not in shown.partition("\n")[2]
    assert "app.log:850 " in await viewing.run("cite(grep('row 850', log.parts(3)[2])[0])")


async def test_a_file_that_changed_is_said_to_have_changed(viewing: Agent, work: Path) -> None:
    await viewing.run("a, b = cite('log', 150), cite('log', 950); text = f'See {a} and {b}.'")
    with (work / "app.log").open("a") as file:
        file.write("one more\n")  # a log that grows holds what it held
    assert "changed since" not in await viewing.run("evidence()")
    rows = ROWS.copy()
    rows[149] = rows[149].replace("disk", "DISK")
    (work / "app.log").write_text("".join(rows))
    for target in ("cite:1", "cite:2"):
        shown = (await viewing.call("peek", target=target)).text
        assert "since the view was made" in shown and "this is what was cited" in shown
    assert "150: row 150 ERROR é disk" in (await viewing.call("peek", target="cite:1")).text
    assert (await viewing.run("evidence()")).count("the file has changed since") == 2
    # Looked at as it is now, one of the two places still holds.
    await viewing.run("log.refresh()")
    shown = (await viewing.call("peek", target="cite:1")).text
    assert "the file has changed since; this is what was cited" in shown
    assert "has changed" not in (await viewing.call("peek", target="cite:2")).text
    await viewing.call("save_variable", name="text", path=str(work / "r.md"))
    notes = (work / "r.md").read_text().splitlines()[-2:]
    assert "the file has changed since" in notes[0] and sha(ROWS[149]) in notes[0]
    assert "the file has changed since" not in notes[1] and sha(ROWS[949]) in notes[1]
    assert "cite:3" in await viewing.run("cite('log', 150)")  # it is another text now


async def test_a_file_that_may_not_be_read_any_more_is_not_said_to_have_changed(
    viewing: Agent, connect: Connect, tmp_path: Path
) -> None:
    await viewing.run("cite('log', 150)")
    await viewing.call("spaces", action="close", space="main")
    (tmp_path / "elsewhere").mkdir()
    async with connect(allow=(tmp_path / "elsewhere",)) as agent:
        shown = await agent.run("evidence()")
        assert "its file cannot be read now" in shown and "changed since" not in shown


async def test_citations_of_views_survive_undo_forks_and_restarts(
    viewing: Agent, work: Path, settings: Settings
) -> None:
    await viewing.run("cite('log', 150)")
    await viewing.run("del log")
    shown = (await viewing.call("peek", target="cite:1")).text
    assert "150: row 150 ERROR" in shown and "changed" not in shown.partition("\n")[2]
    await viewing.call("spaces", action="undo")
    await viewing.call("spaces", action="fork", name="second")
    assert "app.log:150 (" in await viewing.run("evidence()", space="second")
    await viewing.call("spaces", action="close", space="main")
    (work / "app.log").unlink()
    async with Client(make_server(settings)) as client:
        again = Agent(client)
        assert "the file has changed since" in await again.run("evidence()")
        shown = (await again.call("peek", target="cite:1")).text
        assert "gone or can no longer be read" in shown and "150: row 150 ERROR" in shown
