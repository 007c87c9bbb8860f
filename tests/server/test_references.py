"""What a citation of each kind of source says, and that the place can be found again."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from aiohttp import web
from mcp.client.client import Client

from rlm_mcp.loaders import UrlRules, read_commands
from rlm_mcp.server import make_server
from rlm_mcp.settings import Settings

from .. import documents as docs
from ..conftest import Agent, Connect
from ..loaders.test_url import address, serving

pytestmark = pytest.mark.anyio

LOG = "".join(f"line {i}\n" for i in range(1, 51))
FILES: dict[str, str | bytes] = {
    "a.log": LOG,
    "dir/b.txt": "one\ntwo needle\nthree\n",
    "c.bin": b"\0\1",
}
BYTES = {name: text if isinstance(text, bytes) else text.encode() for name, text in FILES.items()}


CELL = '<row r="{0}"><c r="A{0}" t="inlineStr"><is><t>{1}</t></is></c></row>'
BOOK = docs.xlsx(CELL.format(1, "name") + CELL.format(2, "needle"))


def sha(data: str | bytes) -> str:
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def make(work: Path) -> dict[str, str]:
    """A file of each kind, and their digests."""
    (work / "app.log").write_text(LOG)
    (work / "app.log.gz").write_bytes(gzip.compress(LOG.encode()))
    (work / "files.zip").write_bytes(docs.zipped(FILES))
    (work / "files.tar.gz").write_bytes(docs.tarred(BYTES, "w:gz"))
    packed = zstandard.compress(docs.tarred(BYTES))
    (work / "files.tar.zst").write_bytes(packed)
    (work / "tables.zip").write_bytes(docs.zipped({"x/t.csv": "a,b\n1,needle\n"}))
    (work / "pdfs.zip").write_bytes(docs.zipped({"r.pdf": docs.pdf("one", "two needle")}))
    (work / "report.pdf").write_bytes(docs.pdf("one", "two needle", "three"))
    (work / "deck.pptx").write_bytes(docs.pptx())
    (work / "doc.docx").write_bytes(docs.docx())
    (work / "book.xlsx").write_bytes(docs.xlsx())
    (work / "book.epub").write_bytes(docs.epub())
    (work / "m.eml").write_bytes(docs.MAIL)
    (work / "box.mbox").write_bytes(docs.MBOX)
    (work / "n.ipynb").write_text(docs.NOTEBOOK)
    (work / "people.db").write_bytes(docs.database(work / "made.db"))
    (work / "rows.jsonl").write_text('{"t": "x"}\n{"t": "needle"}\n')
    (work / "rows.csv").write_text("t,n\nx,1\nneedle,2\n")
    (work / "value.json").write_text('{"k": ["a\\nb"]}')
    (work / "reports").mkdir()
    (work / "reports/q1.pdf").write_bytes(docs.pdf("one", "two needle"))
    (work / "boxes").mkdir()
    (work / "boxes/one.mbox").write_bytes(docs.MBOX)
    (work / "books.zip").write_bytes(docs.zipped({"x/book.xlsx": BOOK}))
    return {path.name: sha(path.read_bytes()) for path in work.iterdir() if path.is_file()}


HIT = "grep('needle', v)[0]"
FOUND = "search('needle', v)[0]"
# source, arguments, what is cited, the reference, whose bytes the digest is of
CASES: list[tuple[str, dict[str, Any], str, str, str | None]] = [
    ("app.log", {}, "grep('line 12$', v)[0]", "app.log:12", "app.log"),
    ("app.log", {"format": "lines"}, "grep('line 12$', v)[0]", "app.log:12", "app.log"),
    ("app.log", {"format": "lines"}, "chunks(v, 70)[1]", "app.log:10-17", "app.log"),
    ("app.log.gz", {}, "grep('line 12$', v)[0]", "app.log.gz:12", "app.log.gz"),
    ("files.zip", {}, HIT, "files.zip!/dir/b.txt:2", "dir/b.txt"),
    ("files.zip", {"format": "folder"}, "'v[\"c.bin\"]'", "files.zip!/c.bin", "c.bin"),
    ("files.tar.gz", {}, FOUND, "files.tar.gz!/dir/b.txt:1-3", "dir/b.txt"),
    ("files.zip", {}, "chunks(v, 100)[0]", "files.zip!/a.log:1-11", "a.log"),
    ("files.tar.zst", {}, HIT, "files.tar.zst!/dir/b.txt:2", "dir/b.txt"),
    ("tables.zip", {"format": "csv"}, "'v[\"x/t.csv\"]'", "tables.zip!/x/t.csv", "x/t.csv"),
    ("pdfs.zip", {"format": "pdf"}, "grep('needle', v['r.pdf'])[0]",
     "pdfs.zip!/r.pdf#page=2:1", "r.pdf"),
    ("report.pdf", {}, HIT, "report.pdf#page=2:1", "report.pdf"),
    ("report.pdf", {}, "'v[-1]'", "report.pdf#page=3", "report.pdf"),
    ("report.pdf", {}, "v[2]", "report.pdf#page=3", "report.pdf"),
    ("deck.pptx", {}, "grep('hello', v)[0]", "deck.pptx#slide=2:5", "deck.pptx"),
    ("doc.docx", {}, "grep('Details', v)[0]", "doc.docx:", "doc.docx"),
    ("book.xlsx", {}, "'v[\"Data\"]'", "book.xlsx#sheet=Data", "book.xlsx"),
    ("book.xlsx", {}, "v['Data']", "book.xlsx#sheet=Data", "book.xlsx"),
    ("tables.zip", {"format": "csv"}, "search('needle', v['x/t.csv'])[0]",
     "tables.zip!/x/t.csv[0]", "x/t.csv"),
    ("book.epub", {}, "grep('first', v)[0]", "book.epub#chapter=2:", "book.epub"),
    ("m.eml", {}, "'v[\"text\"]', 1", "m.eml['text']:1", "m.eml"),
    ("box.mbox", {}, "search('body two', v)[0]", "box.mbox#message=2", "box.mbox"),
    ("box.mbox", {}, "'v[1][\"text\"]', 1", "box.mbox#message=2['text']:1", "box.mbox"),
    ("n.ipynb", {}, "search('Title', v)[0]", "n.ipynb#cell=1", "n.ipynb"),
    ("people.db", {}, "'v[\"people\"]'", "people.db#table=people", "people.db"),
    ("rows.jsonl", {}, FOUND, "rows.jsonl:2", "rows.jsonl"),
    ("rows.csv", {}, FOUND, "rows.csv[1]", "rows.csv"),
    ("value.json", {}, "'v[\"k\"][0]', 2", "value.json['k'][0]:2", "value.json"),
    ("reports", {"format": "pdf"}, "'v[\"q1.pdf\"][1]'", "reports/q1.pdf#page=2", "reports/q1.pdf"),
    ("reports", {"format": "pdf"}, FOUND, "reports/q1.pdf#page=2:1", "reports/q1.pdf"),
    ("pdfs.zip", {"format": "pdf"}, FOUND, "pdfs.zip!/r.pdf#page=2:1", "r.pdf"),
    ("boxes", {"format": "mbox"}, "search('body two', v)[0]", "boxes/one.mbox#message=2",
     "boxes/one.mbox"),
    ("books.zip", {"format": "xlsx"}, FOUND, "books.zip!/x/book.xlsx#sheet=Data", "x/book.xlsx"),
    ("*.log", {}, "grep('line 12$', v)[0]", "app.log:12", "app.log"),
]  # fmt: skip


async def test_each_kind_of_source_is_cited_by_the_place_that_a_person_finds(
    agent: Agent, work: Path
) -> None:
    digests = make(work)
    digests |= {name: sha(data) for name, data in BYTES.items()}
    digests["x/t.csv"] = sha("a,b\n1,needle\n")
    digests["r.pdf"] = digests["reports/q1.pdf"] = sha(docs.pdf("one", "two needle"))
    digests["boxes/one.mbox"], digests["x/book.xlsx"] = sha(docs.MBOX), sha(BOOK)
    for source, options, what, expected, of in CASES:
        reply = await agent.call("load_variable", name="v", source=str(work / source), **options)
        assert not reply.failed, reply.text
        shown = await agent.run(f"c = cite({what}); print(c.reference); c")
        reference = shown.splitlines()[0]
        place = shown.partition("] ")[2].splitlines()[0]
        assert place.startswith(f"{work}/{expected}"), (source, what, place)
        assert "changed" not in place and "made by code" not in place, place
        assert of is None or digests[of] in place, (source, what, place)
        # It can be looked at by its number and as reports show it, with the words that are cited.
        number = shown.partition("[cite:")[2].partition("]")[0]
        by_number = (await agent.call("peek", target=f"cite:{number}")).text
        assert "has changed" not in by_number and "any more" not in by_number, by_number
        assert (await agent.call("peek", target=reference)).text == by_number
        if "needle" in what:
            assert "needle" in by_number.partition("\n")[2], by_number
        if source == "files.tar.zst":  # as a person takes it, not of what was made of it
            assert digests[source] in await agent.run("source_of('v')")
    listed = await agent.run("evidence()")
    assert "files.zip!/dir/b.txt:2 (sha256" in listed


async def test_sources_that_are_no_files_are_cited_too(connect: Connect, work: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/old":
            raise web.HTTPFound("/files.zip?sig=hidden")
        return web.Response(body=docs.zipped(FILES))

    code = "print('one\\ntwo needle')"
    table = {"said": {"run": [sys.executable, "-c", code]}}
    commands = read_commands(table, "test.toml")
    rules = UrlRules(allow_private=True)
    async with serving(answer) as place, connect(urls=rules, commands=commands) as agent:
        url = address(place, "/old?token=abc123&n=1")
        await agent.call("load_variable", name="v", source=url)
        shown = await agent.run(f"cite({HIT}), source_of('v')")
        assert f"/old?token=***&n=1!/dir/b.txt:2 (sha256 {sha(FILES['dir/b.txt'])}" in shown
        assert "redirected to" in shown and "/files.zip?sig=***" in shown
        assert "abc123" not in shown and "hidden" not in shown
        await agent.call("load_variable", name="v", source="command:said")
        assert "] command:said:2 (sha256" in await agent.run(f"cite({HIT})")
        await agent.call("load_variable", name="v", value="one\ntwo needle\n")
        shown = await agent.run(f"cite({HIT})")
        assert "] v:2 (sha256" in shown and "a value given in the call" in shown
        await agent.call("load_variable", name="v", value=["one", "two needle"])
        assert "] v[1]:1 (" in await agent.run(f"cite({HIT})")


async def test_copies_from_another_space_know_where_they_came_from(
    agent: Agent, work: Path
) -> None:
    make(work)
    await agent.call("spaces", action="open", space="other")
    for name, source in (("z", "files.zip"), ("pages", "report.pdf"), ("docs", "reports")):
        await agent.call("load_variable", name=name, source=str(work / source), space="other",
                         format="pdf" if name == "docs" else "auto")  # fmt: skip
    await agent.run("made = z['a.log'].upper()", space="other")
    for source, what, expected in (
        ("z", HIT, "files.zip!/dir/b.txt:2"),
        ('z["dir/b.txt"]', HIT, "files.zip!/dir/b.txt:2"),
        ("pages", HIT, "report.pdf#page=2:1"),
        ("pages[1]", HIT, "report.pdf#page=2:1"),
        ('docs["q1.pdf"]', HIT, "reports/q1.pdf#page=2:1"),
    ):
        await agent.call("load_variable", name="v", source=f"space:other/{source}")
        shown = await agent.run(f"cite({what}), source_of('v')")
        assert f"{work}/{expected} (sha256" in shown, shown
        assert f"copied from space:other/{source}" in shown
    await agent.call("load_variable", name="v", source="space:other/made")
    assert "made by code in the space" in await agent.run("cite('v')")


async def test_what_code_changed_or_added_is_not_taken_for_the_file(
    agent: Agent, work: Path
) -> None:
    make(work)
    for name, source in (("z", "files.zip"), ("pages", "report.pdf")):
        await agent.call("load_variable", name=name, source=str(work / source))
    await agent.run("z['new.txt'] = 'needle'; z['a.log'] += 'more'; pages[0] = 'other'")
    assert "made by code in the space" in await agent.run("cite('z[\"new.txt\"]')")
    assert "was changed after it was loaded" in await agent.run("cite('z[\"a.log\"]', 1)")
    assert "was changed after it was loaded" in await agent.run("cite('pages[0]')")
    assert "was changed" not in await agent.run("cite('pages[1]')")
    assert "None" in await agent.run("repr(source_of('z[\"new.txt\"]'))")


async def test_a_report_over_an_archive_leads_to_its_members(agent: Agent, work: Path) -> None:
    make(work)
    await agent.call("load_variable", name="v", source=str(work / "files.zip"))
    await agent.run(f"report = f'Found it {{cite({HIT})}}.'")
    await agent.call("save_variable", name="report", path=str(work / "r.md"))
    note = (work / "r.md").read_text().splitlines()[-1]
    place = f"{work}/files.zip!/dir/b.txt:2"
    assert note == f"[^1]: {place} (sha256 {sha(FILES['dir/b.txt'])})"
    # A reader without the space checks the lines with ordinary tools.
    digest = (await agent.run("print(evidence()[0].text_sha256)")).splitlines()[0]
    assert digest == sha("two needle\n")


async def test_members_are_known_after_a_restart_and_in_forks(
    agent: Agent, work: Path, settings: Settings
) -> None:
    make(work)
    await agent.call("load_variable", name="v", source=str(work / "files.zip"))
    await agent.run(f"cite({HIT})")
    await agent.call("spaces", action="fork", name="second")
    assert "!/dir/b.txt:2" in await agent.run("evidence()", space="second")
    await agent.call("spaces", action="close", space="main")
    async with Client(make_server(settings)) as client:
        again = Agent(client)
        assert "!/dir/b.txt:2" in await again.run("evidence()")
        assert json.dumps("x") and "!/a.log:3" in await again.run("cite('v[\"a.log\"]', 3)")
