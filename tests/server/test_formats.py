"""What an agent gets from documents: the natural value, and a clear word where there is none."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from .. import documents as docs
from ..conftest import Agent

pytestmark = pytest.mark.anyio


async def test_settings_files_are_values(agent: Agent, work: Path) -> None:
    (work / "a.yaml").write_text("a: [1, 2.5, null]\nb: {c: 2026-01-02}\n")
    await agent.load("a.yaml")
    assert "=> {'a': [1, 2.5, None], 'b': {'c': datetime.date(2026, 1, 2)}}" in await agent.run("v")
    (work / "many.yml").write_text("a: 1\n---\nb: 2\n")
    assert "2 YAML documents" in await agent.load("many.yml")
    assert "=> [{'a': 1}, {'b': 2}]" in await agent.run("v")
    (work / "a.toml").write_text('[tool]\nname = "x"\n')
    await agent.load("a.toml")
    assert "=> {'tool': {'name': 'x'}}" in await agent.run("v")
    (work / "a.xml").write_text('<r a="1"><i>x</i><i b="2">y<k/></i></r>')
    await agent.load("a.xml")
    assert "=> {'r': {'@a': '1', 'i': ['x', {'@b': '2', 'k': None, '#text': 'y'}]}}" in (
        await agent.run("v")
    )
    (work / "a.ipynb").write_text(docs.NOTEBOOK)
    assert "Images in the outputs were left out: 1" in await agent.load("a.ipynb")
    assert "=> ['markdown', 'code']" in await agent.run("[c['type'] for c in v]")
    assert "=> ('# Title\\ntext', '2\\nBoom\\n')" in await agent.run(
        "v[0]['source'], v[1]['output']"
    )


async def test_text_that_would_run_code_or_fetch_is_refused(agent: Agent, work: Path) -> None:
    await agent.run("v = 'before'")
    bomb = "".join(f'<!ENTITY e{i} "&e{i - 1};&e{i - 1};">' for i in range(1, 60))
    for name, content, expected in (
        ("run.yaml", "!!python/object/apply:os.system ['id']", "could not determine a constructor"),
        ("deep.yaml", "[" * 50_000, "nested too deeply"),
        ("bad.yaml", "a: [1\nb: 2", "line 2"),
        ("bad.toml", "a = \n", "invalid TOML"),
        ("bad.xml", "<a><b></a>", "line 1, column 9"),
        ("bomb.xml", f'<!DOCTYPE r [<!ENTITY e0 "x">{bomb}]><r>&e59;</r>', "declares entities"),
        (
            "file.xml",
            '<!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/passwd">]><r>&f;</r>',
            "entities",
        ),
        ("deep.xml", "<a>" * 5000, "levels deep"),
        ("bad.ipynb", '{"cells": 5}', "format='json'"),
    ):
        (work / name).write_text(content)
        text = await agent.fails("load_variable", name="v", source=name)
        assert expected in text, (name, text)
        assert "format='" in text or "deep" in text, (name, text)
    assert "=> 'before'" in await agent.run("v")


async def test_pages_are_text_with_their_tree(agent: Agent, work: Path) -> None:
    (work / "a.html").write_text(docs.PAGE)
    await agent.load("a.html")
    text = "# Head\n\nOne bold word.\nNext\n\n- item link\n\na\tb\n1\t2"
    assert f"=> {(text, 'The Page', [('link', '/x')])!r}" in await agent.run(
        "str(v), v.title, v.links"
    )
    assert "=> ([['1', '2']], ['a', 'b'], 'bold', 1)" in await agent.run(
        "t = v.tables[0]\n(t.values.tolist(), list(t), v.soup.b.text, len(v.tree.findall('.//li')))"
    )
    assert "item link" in await agent.run("grep('link', v)")
    assert "=> True" in await agent.run(
        "import cloudpickle, pickle\npickle.loads(cloudpickle.dumps(v)).links == v.links"
    )
    (work / "old.html").write_bytes('<meta charset="iso-8859-2"><p>Łódź'.encode("iso-8859-2"))
    await agent.load("old.html")
    assert "=> 'Łódź'" in await agent.run("str(v)")
    await agent.load("a.html", format="text")
    assert "=> True" in await agent.run("v.startswith('<!doctype')")
    for name, content in (("empty.html", ""), ("none.html", "<!-- nothing -->")):
        (work / name).write_text(content)
        await agent.load(name)
        assert "=> ''" in await agent.run("str(v)"), name
    (work / "deep.html").write_text("<div>" * 20_000 + "in" + "</div>" * 20_000)
    await agent.load("deep.html")
    assert "=> True" in await agent.run("'in' in v")


async def test_a_pdf_is_a_list_of_pages(agent: Agent, work: Path) -> None:
    (work / "a.pdf").write_bytes(docs.pdf("Page one", "", "Page three"))
    assert "Pages without text (blank, or scanned): 2" in await agent.load("a.pdf")
    assert "=> ['Page one', '', 'Page three']" in await agent.run("v")
    (work / "scan.pdf").write_bytes(docs.pdf("", ""))
    assert "no OCR" in await agent.load("scan.pdf")
    (work / "named.txt").write_bytes(docs.pdf("told by its content"))
    await agent.load("named.txt")
    assert "=> ['told by its content']" in await agent.run("v")
    await agent.call("load_variable", name="plain", source="a.pdf", format="bytes")
    await agent.run(
        "import io, pypdf\nw = pypdf.PdfWriter(pypdf.PdfReader(io.BytesIO(plain)))\n"
        "w.encrypt('secret', algorithm='RC4-128')\nout = io.BytesIO(); w.write(out)\n"
        "locked = out.getvalue()"
    )
    await agent.call("save_variable", name="locked", path="locked.pdf")
    assert "encrypted" in await agent.fails("load_variable", name="v", source="locked.pdf")
    whole = docs.pdf("x")
    (work / "cut.pdf").write_bytes(whole[:60])
    text = await agent.fails("load_variable", name="v", source="cut.pdf")
    assert "damaged" in text
    assert "=> ['told by its content']" in await agent.run("v")


async def test_office_files_are_text_and_tables(agent: Agent, work: Path) -> None:
    (work / "a.docx").write_bytes(docs.docx())
    await agent.load("a.docx")
    text = (
        "# The Report\n\nPlain text €\n\n  - a point\n\n| name | n |\n| --- | --- |\n"
        "| x\\|y | 1 |\n\n## Details"
    )
    assert f"=> {text!r}" in await agent.run("str(v)")
    assert "=> [(1, 'The Report', 0), (2, 'Details', 82)]" in await agent.run("v.headings")
    assert "=> (True, [['name', 'n'], ['x|y', '1']])" in await agent.run(
        "v[82:] == '## Details', v.tables[0]"
    )
    (work / "a.pptx").write_bytes(docs.pptx())
    await agent.load("a.pptx")
    assert "=> ['# Second\\n\\ntwo', '# First\\n\\none\\n\\nNotes: say hello']" in await agent.run(
        "v"
    )
    (work / "a.xlsx").write_bytes(docs.xlsx())
    await agent.load("a.xlsx")
    assert "=> {'Data': [{'name': 'x', 'n': 5}]}" in await agent.run(
        "{k: f.to_dict('records') for k, f in v.items()}"
    )
    (work / "a.epub").write_bytes(docs.epub())
    await agent.load("a.epub")
    assert "=> [('Two', 'zweite é'), ('One', 'first')]" in await agent.run(
        "[(c.title, str(c)) for c in v]"
    )
    (work / "old.doc").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert "old Office format" in await agent.load("old.doc")


async def test_mail_and_databases(agent: Agent, work: Path) -> None:
    (work / "a.eml").write_bytes(docs.MAIL)
    await agent.load("a.eml")
    assert "=> ('Grüße', 'Jürgen <j@example.org>', 'Hallöchen')" in await agent.run(
        "v['subject'], v['from'], v['text'].strip()"
    )
    assert "=> [{'name': 'a.pdf', 'type': 'application/pdf', 'data': b'%PDF-'}]" in await agent.run(
        "v['attachments']"
    )
    odd = b"From: J\xfcrgen <j@example.org>\nSubject: =?no-such?q?x?= =?utf-8?b?????=\n\nb\xfcdy\n"
    (work / "odd.eml").write_bytes(odd)
    await agent.load("odd.eml")
    assert "=> ('Jürgen <j@example.org>', True, 'büdy')" in await agent.run(
        "v['from'], '=?' in v['subject'], v['text'].strip()"
    )
    (work / "a.mbox").write_bytes(docs.MBOX)
    await agent.load("a.mbox")
    assert "=> [('one', 'body one\\nFrom here on'), ('two', 'body two')]" in await agent.run(
        "[(m['subject'], m['text'].strip()) for m in v]"
    )
    (work / "a.data").write_bytes(docs.database(work / "a.sqlite"))
    reply = await agent.load("a.data")
    assert reply.startswith(
        "v: SQLite database, 3 tables: x[name] and x.query(sql) give DataFrames"
    )
    assert "  people (2 rows): name TEXT, age INTEGER" in reply
    assert "=> (['odd name', 'old', 'people'], 2, [['Ann', 40]])" in await agent.run(
        "sorted(v), len(v['people']), v.query('SELECT * FROM old').values.tolist()"
    )
    assert "=> True" in await agent.run(
        "import cloudpickle, pickle\npickle.loads(cloudpickle.dumps(v)).tables == v.tables"
    )
    broken = bytearray((work / "a.sqlite").read_bytes())
    broken[100:200] = b"\xff" * 100
    (work / "broken.sqlite").write_bytes(broken)
    text = await agent.fails("load_variable", name="v", source="broken.sqlite")
    assert "no SQLite database" in text


async def test_images_and_other_binaries_are_bytes(agent: Agent, work: Path) -> None:
    head = struct.pack(">II", 640, 480) + b"\x08\x02\0\0\0"
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head
    (work / "a.png").write_bytes(png + struct.pack(">I", zlib.crc32(b"IHDR" + head)))
    assert "A PNG image, 640 x 480 pixels" in await agent.load("a.png")
    assert "=> True" in await agent.run("type(v) is bytes and len(v) > 20")
    (work / "a.bin").write_bytes(b"\0\1\2")
    assert "binary" in await agent.load("a.bin")


@pytest.mark.parametrize("name", ["a.docx", "a.pptx", "a.xlsx", "a.epub", "a.zip", "a.tar.gz"])
async def test_damaged_and_truncated_files_say_so_and_lose_nothing(
    agent: Agent, work: Path, name: str
) -> None:
    make: dict[str, Callable[[], bytes]] = {
        "a.docx": docs.docx, "a.pptx": docs.pptx, "a.xlsx": docs.xlsx, "a.epub": docs.epub,
        "a.zip": lambda: docs.zipped({"a.txt": "x" * 2000}),
        "a.tar.gz": lambda: docs.tarred({"a.txt": b"x" * 20_000}, "w:gz"),
    }  # fmt: skip
    whole = make[name]()
    await agent.run("v = 'before'")
    flipped = bytearray(whole)
    for at in range(40, len(whole) // 2, 7):
        flipped[at] ^= 0x55
    for content in (whole[: len(whole) // 2], whole[:-10], bytes(flipped), whole[:4]):
        (work / name).write_bytes(content)
        reply = await agent.call("load_variable", name="v", source=name)
        assert reply.failed, (len(content), reply.text)
        assert any(word in reply.text for word in ("damaged", "missing", "can be read")), reply.text
    assert "=> 'before'" in await agent.run("v")


async def test_archives_are_folders(agent: Agent, work: Path) -> None:
    files: dict[str, str | bytes] = {
        "src/a.py": "import os\n",
        "b.md": "# é",
        "data.bin": b"\0\1",
        "empty/": "",
    }
    (work / "a.zip").write_bytes(docs.zipped(files))
    reply = await agent.load("a.zip")
    assert "left out 1: 1 binary (data.bin)" in reply
    assert "=> {'src/a.py': 'import os\\n', 'b.md': '# é'}" in await agent.run("v")
    await agent.load("a.zip", pattern="*.py")
    assert "=> ['src/a.py']" in await agent.run("list(v)")
    await agent.load("a.zip", pattern="{src/**,*.md}")
    assert "=> ['src/a.py', 'b.md']" in await agent.run("list(v)")
    await agent.load("a.zip", format="folder", pattern="*.bin")
    assert "=> {'data.bin': b'\\x00\\x01'}" in await agent.run("v")
    await agent.load("a.zip", format="lines", pattern="*.py")
    assert "=> {'src/a.py': ['import os']}" in await agent.run("v")
    (work / "tables.zip").write_bytes(docs.zipped({"a.csv": "x\n1\n", "b/c.csv": "x\n2\n"}))
    await agent.load("tables.zip", format="csv")
    assert "=> {'a.csv': 1, 'b/c.csv': 2}" in await agent.run(
        "{k: int(f.x[0]) for k, f in v.items()}"
    )
    plain = {"src/a.py": b"import os\n", "b.md": b"#"}
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        (work / "a.tar").write_bytes(docs.tarred(plain, mode))
        await agent.load("a.tar", pattern="*.py")
        assert "=> {'src/a.py': 'import os\\n'}" in await agent.run("v"), mode
    inner = docs.zipped({"x.txt": "deep"})
    (work / "nested.zip").write_bytes(docs.zipped({"inner.zip": inner, "a.txt": "x"}))
    await agent.load("nested.zip", format="folder")
    assert "=> (True, 'x')" in await agent.run("v['inner.zip'][:2] == b'PK', v['a.txt']")
    text = await agent.fails("load_variable", name="v", source="a.zip", pattern="*.nothing")
    assert "*.nothing" in text
    (work / "plain.txt").write_text("x")
    text = await agent.fails("load_variable", name="v", source="plain.txt", pattern="*.py")
    assert "no archive" in text


async def test_one_compressed_file_is_what_it_holds(agent: Agent, work: Path) -> None:
    import bz2
    import lzma

    import zstandard

    table = b"a,b\n1,2\n"
    for ending, packed in (
        ("gz", gzip.compress(table)),
        ("bz2", bz2.compress(table)),
        ("xz", lzma.compress(table)),
        ("zst", zstandard.compress(table)),
    ):
        (work / f"t.csv.{ending}").write_bytes(packed)
        assert "DataFrame 1 row x 2 columns" in await agent.load(f"t.csv.{ending}"), ending
        (work / f"cut.csv.{ending}").write_bytes(packed[:-6])
        text = await agent.fails("load_variable", name="v", source=f"cut.csv.{ending}")
        assert "damaged" in text or "cut short" in text, text
        await agent.load(f"t.csv.{ending}", format="text")
        assert f"=> {table.decode()!r}" in await agent.run("v"), ending
    (work / "a.tar.zst").write_bytes(zstandard.compress(docs.tarred({"a.txt": b"in a tar"})))
    await agent.load("a.tar.zst")
    assert "=> {'a.txt': 'in a tar'}" in await agent.run("v")
    (work / "log.gz").write_bytes(gzip.compress("é line\n".encode() * 100_000))
    await agent.load("log.gz")
    assert "=> True" in await agent.run("v == 'é line\\n' * 100_000")


async def test_what_leads_out_of_an_archive_is_left_out_and_counted(
    agent: Agent, work: Path
) -> None:
    import tarfile

    names = ["../up.txt", "/abs.txt", "a/../../b.txt", "C:/win.txt", "..\\back.txt"]
    (work / "a.zip").write_bytes(docs.zipped({**dict.fromkeys(names, "x"), "ok.txt": "fine"}))
    reply = await agent.load("a.zip")
    assert "5 leads out of the folder" in reply
    assert "=> {'ok.txt': 'fine'}" in await agent.run("v")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (
            ("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("pipe", tarfile.FIFOTYPE),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("ok.txt")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"ok"))
    (work / "a.tar").write_bytes(out.getvalue())
    reply = await agent.load("a.tar")
    assert "2 link (link, hard)" in reply
    assert "1 special file (pipe)" in reply
    assert "=> {'ok.txt': 'ok'}" in await agent.run("v")


async def test_bombs_and_lying_lengths_are_refused(agent: Agent, work: Path) -> None:
    import bz2

    import zstandard

    await agent.run("v = 'before'")
    zeros = bytes(1 << 20)
    packer = bz2.BZ2Compressor()
    packed = b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    (work / "a.bz2").write_bytes(packed)
    (work / "a.zst").write_bytes(zstandard.compress(zeros * 200))
    (work / "deep.zip").write_bytes(docs.zipped({"a.txt": bytes(65 << 20)}, zipfile.ZIP_STORED))
    for name in ("a.bz2", "a.zst"):
        assert "bomb" in await agent.fails("load_variable", name="v", source=name), name
    # One file in it is over the bound for files, and is left out for that.
    assert "over 64 MB" in await agent.fails("load_variable", name="v", source="deep.zip")
    lying = bytearray(docs.zipped({"a.txt": "x" * 5000}))
    at = lying.rindex(b"PK\x01\x02")
    for claimed in (10, 1 << 31):
        lying[at + 24 : at + 28] = struct.pack("<I", claimed)
        (work / "lie.zip").write_bytes(lying)
        text = await agent.fails("load_variable", name="v", source="lie.zip")
        assert any(word in text for word in ("damaged", "over", "bomb")), text
    assert "=> 'before'" in await agent.run("v")


async def test_a_format_is_that_of_each_file_of_a_folder(agent: Agent, work: Path) -> None:
    (work / "d").mkdir()
    (work / "d" / "a.pdf").write_bytes(docs.pdf("A"))
    (work / "d" / "b.pdf").write_bytes(docs.pdf("B"))
    (work / "d" / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    reply = await agent.load("d", format="pdf", pattern="*.pdf")
    assert "left out 1: 1 not readable (bad.pdf" in reply
    assert "=> {'a.pdf': ['A'], 'b.pdf': ['B']}" in await agent.run("v")
    (work / "d" / "c.html").write_text(docs.PAGE)
    await agent.load("d", format="html", pattern="*.html")
    assert "=> 'The Page'" in await agent.run("v['c.html'].title")
    await agent.load("d", pattern="*.html")
    assert "=> True" in await agent.run("v['c.html'].startswith('<!doctype')")


async def test_a_name_that_says_otherwise_does_not_mislead(agent: Agent, work: Path) -> None:
    (work / "page.pdf").write_text("<html><body>a page for a file")
    assert "no pdf file" in await agent.load("page.pdf")
    assert "=> True" in await agent.run("type(v) is str and 'page' in v")
    (work / "sheet.xls").write_text("a\tb\n1\t2\n")
    assert "no xlsx file" in await agent.load("sheet.xls")
