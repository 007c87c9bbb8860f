"""Loading documents of some MB through `load_variable`, against the usual native library.

Each file is made here by a script. The native library runs in a process of its own that has just
started, as a load begins with nothing either; where a library is not installed there is no ratio.
The shapes for which parsers take time by the square of the size are loaded at two sizes.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mcp.client.client import Client

from ._common import Report, median, ms, run, temporary_folder, timed
from .load import call
from .roundtrip import server

REACH = 5.0
PYTHON = os.environ.get("RLM_BENCH_PYTHON", sys.executable)
"""An interpreter that has the native libraries, which this project does not need."""
_WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "report", "value"]


@dataclass(frozen=True)
class Document:
    """A kind of file: how it is made, and code that reads the file at `path` natively."""

    make: Callable[[random.Random, int], bytes]
    native: tuple[str, ...]


def words(r: random.Random, count: int) -> str:
    return " ".join(r.choice(_WORDS) for _ in range(count))


def pods(r: random.Random, count: int) -> list[dict[str, object]]:
    return [
        {
            "kind": "Pod",
            "metadata": {"name": f"pod-{n}", "labels": {"app": words(r, 1)}, "note": words(r, 8)},
            "spec": {"containers": [{"image": f"img:{n}", "ports": [{"containerPort": 8080}]}]},
            "status": {"phase": "Running", "restarts": n % 5, "ratio": n / 7},
        }
        for n in range(count)
    ]  # fmt: skip


def yaml_file(r: random.Random, scale: int) -> bytes:
    lines = ["kind: List", "items:"]
    for pod in pods(r, 1_500 * scale):
        meta, status = pod["metadata"], pod["status"]
        assert isinstance(meta, dict)
        assert isinstance(status, dict)
        lines += [
            f"- kind: {pod['kind']}", "  metadata:", f"    name: {meta['name']}", "    labels:",
            f"      app: {meta['labels']['app']}", f"    note: {meta['note']}", "  spec:",
            "    containers:", f"    - image: repo/img:{meta['name']}", "      ports:",
            "      - containerPort: 8080", "  status:", f"    phase: {status['phase']}",
            f"    restarts: {status['restarts']}", f"    ratio: {status['ratio']}",
        ]  # fmt: skip
    return "\n".join(lines).encode()


def json_file(r: random.Random, scale: int) -> bytes:
    return json.dumps(pods(r, 4_000 * scale)).encode()


def json_lines(r: random.Random, scale: int) -> bytes:
    return "\n".join(map(json.dumps, pods(r, 4_000 * scale))).encode()


def csv_file(r: random.Random, scale: int) -> bytes:
    rows = (f'{n},{words(r, 2)},{n / 7:.3f},"{words(r, 4)}, x"' for n in range(20_000 * scale))
    return "\n".join(["id,name,amount,note", *rows]).encode()


def toml_file(r: random.Random, scale: int) -> bytes:
    return "".join(
        f'[[package]]\nname = "{words(r, 1)}-{n}"\nversion = "1.{n}"\ndependencies = [\n'
        f'    {{ name = "a" }},\n    {{ name = "b", marker = "x > 1" }},\n]\nsize = {n}\n\n'
        for n in range(2_000 * scale)
    ).encode()


def xml_file(r: random.Random, scale: int) -> bytes:
    rows = (
        f'<item id="{n}"><name>{words(r, 3)}</name><price cur="EUR">{n / 7:.3f}</price></item>\n'
        for n in range(8_000 * scale)
    )
    return f"<root>{''.join(rows)}</root>".encode()


def html_file(r: random.Random, scale: int) -> bytes:
    rows = (
        f"<tr><td>{n}</td><td><a href='/x/{n}'>{words(r, 3)}</a></td><td>{words(r, 2)}</td></tr>\n"
        for n in range(6_000 * scale)
    )
    return f"<!doctype html><title>T</title><h1>H</h1><table>{''.join(rows)}</table>".encode()


def mailbox(r: random.Random, scale: int) -> bytes:
    message = (
        "From a@example.org Mon Nov  2 10:00:00 2026\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= {}\n"
        "From: a <a@example.org>\nMIME-Version: 1.0\nContent-Type: multipart/alternative; "
        "boundary=B\n\n--B\nContent-Type: text/plain\n\n{}\n--B\nContent-Type: text/html\n\n"
        "<p>{}</p>\n--B--\n\n"
    )
    body = "\n".join(words(r, 10) for _ in range(20))
    return "".join(message.format(n, body, words(r, 100)) for n in range(500 * scale)).encode()


def pdf_file(r: random.Random, scale: int) -> bytes:
    """Pages of 50 lines, as a program prints them."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 "
               "/BaseFont /Helvetica >>"]  # fmt: skip
    kids = []
    for _ in range(20 * scale):
        lines = " ".join(f"({words(r, 10)}) Tj 0 -15 Td" for _ in range(50))
        content = f"BT /F1 11 Tf 50 800 Td {lines} ET"
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}".encode()
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n".encode()
    return out + f"startxref\n{start}\n%%EOF\n".encode()


def zipped(files: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def workbook(r: random.Random, scale: int) -> bytes:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"

    def row(n: int) -> str:
        cells = [f"<c><v>{n * k / 7}</v></c>" for k in range(6)]
        cells += [f'<c t="inlineStr"><is><t>{words(r, 2)}</t></is></c>' for _ in range(4)]
        return f'<row r="{n + 1}">{"".join(cells)}</row>'

    rows = "".join(map(row, range(6_000 * scale)))
    return zipped({
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/s1.xml" ContentType="{kinds}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="Data" sheetId="1" r:id="a"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="a" Type="{office}/worksheet" Target="s1.xml"/></Relationships>',
        "xl/s1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
    })  # fmt: skip


def word_file(r: random.Random, scale: int) -> bytes:
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    body = "".join(f"<w:p><w:r><w:t>{words(r, 60)}</w:t></w:r></w:p>" for _ in range(2_000 * scale))
    return zipped({
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r" '
        f'Type="{office}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f"<w:document {space}><w:body>{body}</w:body></w:document>",
    })  # fmt: skip


DOCUMENTS = {
    "k8s.yaml": Document(
        yaml_file, ("import yaml", "yaml.load(open(path), Loader=yaml.CSafeLoader)")
    ),
    "data.json": Document(json_file, ("import json", "json.load(open(path))")),
    "data.jsonl": Document(json_lines, ("import json", "[json.loads(x) for x in open(path)]")),
    "data.csv": Document(csv_file, ("import pandas", "pandas.read_csv(path)")),
    "data.toml": Document(toml_file, ("import tomllib", "tomllib.load(open(path, 'rb'))")),
    "data.xml": Document(
        xml_file,
        ("import xmltodict", "xmltodict.parse(open(path, 'rb'))"),
    ),
    "page.html": Document(
        html_file,
        ("import bs4", "p = bs4.BeautifulSoup(open(path), 'lxml'); p.get_text(); p.find_all('a')"),
    ),
    "mail.mbox": Document(
        mailbox,
        ("import mailbox",
         "[[p.get_payload(decode=True) for p in m.walk()] for m in mailbox.mbox(path)]"),
    ),
    "print.pdf": Document(
        pdf_file,
        ("import pypdf", "[p.extract_text() for p in pypdf.PdfReader(path).pages]"),
    ),
    "book.xlsx": Document(
        workbook,
        ("import pandas, openpyxl", "pandas.read_excel(path, sheet_name=None)"),
    ),
    "text.docx": Document(
        word_file,
        ("import docx", "[p.text for p in docx.Document(path).paragraphs]"),
    ),
}  # fmt: skip
"""The library that most programs would use, at its usual speed."""

SHAPES: dict[str, Callable[[int], str]] = {
    "attributes.html": lambda n: f"<p {''.join(f'a{k}=1 ' for k in range(n))}>x</p>",
    "nested.html": lambda n: "<div>" * n,
    "comment.xml": lambda n: f"<p><!--{'x' * 20 * n}--></p>",
    "nested.yaml": lambda n: "[ # ]\n" * n,
    "twice.json": lambda n: f'{{{"".join(f"{chr(34)}k{k}{chr(34)}:1," for k in range(n))}"k1":2}}',
    "dotted.toml": lambda n: ".".join("a" * n) + " = 1",
    "same.csv": lambda n: f"{'c,' * n}c\n{'1,' * n}1\n",
    "quotes.csv": lambda n: 'a,b\n' + '"x,\n' * n,
    "nested.eml": lambda n: (
        "".join(f"Content-Type: multipart/mixed; boundary=b{k}\n\n--b{k}\n" for k in range(n // 10))
        + "x\n" * n
    ),
    "words.eml": lambda n: f"Subject: {'=?utf-8?q?a?= =?latin-1?q?b?= ' * (n // 5)}\n\nbody",
}  # fmt: skip
SMALL, LARGE = 25_000, 100_000
"""Sizes of the shapes: four times as much should take some four times as long, and not sixteen."""
_NATIVE = """
import sys, time
path, begin = sys.argv[1], 0
{0}
begin = time.perf_counter()
{1}
print(time.perf_counter() - begin)
"""


def native(document: Document, path: Path) -> float | None:
    """Seconds of the native library, without its import; `None` where it is not installed."""
    done = subprocess.run(
        [PYTHON, "-c", _NATIVE.format(*document.native), str(path)],
        capture_output=True, text=True,
    )  # fmt: skip
    return float(done.stdout) if done.returncode == 0 else None


async def measure(report: Report) -> None:
    with temporary_folder() as folder:
        allow = ("--allow", str(folder), "--home", str(folder / "home"))
        async with Client(server(str(folder / "home"), *allow)) as client:
            await call(client, "spaces", action="open", name="formats")
            await call(client, "exec_code", code="1", space="formats")
            for name, document in DOCUMENTS.items():
                data = document.make(random.Random(5), report.pick(1, 4))
                (folder / name).write_bytes(data)
                await one(report, client, document, folder / name, len(data))
            for name, make in SHAPES.items():
                await shape(report, client, folder / name, make)


async def load(client: Client, path: Path) -> None:
    """Load a file; one that is refused counts too."""
    await client.call_tool("load_variable", {"name": "v", "source": str(path), "space": "formats"})


async def one(report: Report, client: Client, document: Document, path: Path, size: int) -> None:
    natives, loads = [], []
    for _ in range(report.pick(1, 3)):
        if (found := native(document, path)) is not None:
            natives.append(found)
        begin = time.perf_counter()
        await call(client, "load_variable", name="v", source=str(path), space="formats")
        loads.append(time.perf_counter() - begin)
    base = median(natives) if natives else 0.0
    ratio = median(loads) / base if base else None
    library = document.native[0].removeprefix("import ").partition(",")[0]
    report.row(
        f"`load_variable` of `{path.name}`, {size >> 10:,} KB",
        ms(median(loads)),
        baseline=f"{ms(base)} ({library})" if base else f"({library} is not installed)",
        ratio=ratio, reach="at most 5x", ok=ratio <= REACH if ratio is not None else None,
    )  # fmt: skip


async def shape(report: Report, client: Client, path: Path, make: Callable[[int], str]) -> None:
    times = []
    for size in (SMALL, LARGE):
        await asyncio.to_thread(path.write_text, make(size))
        times.append(await timed(load(client, path)))
    report.row(
        f"`{path.name}`: four times the size of a shape that can take time by the square",
        ms(times[1]),
        baseline=f"{ms(times[0])} (a quarter of it)", ratio=times[1] / times[0],
        reach="at most 8x", ok=times[1] / times[0] <= 8,
    )  # fmt: skip


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
