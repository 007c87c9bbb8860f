"""Small real files of each format, made by hand, so that no library decides what they are."""

from __future__ import annotations

import io
import sqlite3
import tarfile
import zipfile
from pathlib import Path

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
P = (
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
)
RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def zipped(files: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def pdf(*pages: str) -> bytes:
    """A PDF whose pages show one line each; an empty one shows nothing."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    kids = []
    for text in pages:
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode() if text else b""
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> "
            b">> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    return out + b"startxref\n%d\n%%%%EOF\n" % start


def docx(body: str | None = None) -> bytes:
    def paragraph(text: str, style: str = "", more: str = "") -> str:
        properties = f'<w:pPr><w:pStyle w:val="{style}"/>{more}</w:pPr>' if style or more else ""
        return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"

    cells = "".join(
        f"<w:tr><w:tc>{paragraph(a)}</w:tc><w:tc>{paragraph(b)}</w:tc></w:tr>"
        for a, b in (("name", "n"), ("x|y", "1"))
    )
    numbered = '<w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr>'
    body = body or (
        paragraph("The Report", "H1")
        + "<w:p><w:r><w:t>Plain </w:t></w:r><w:del><w:r><w:delText>gone</w:delText></w:r></w:del>"
        + "<w:ins><w:r><w:t>text €</w:t></w:r></w:ins></w:p>"
        + paragraph("a point", "L", numbered)
        + f"<w:tbl>{cells}</w:tbl>"
        + paragraph("Details", "H2")
    )
    return zipped({
        "[Content_Types].xml": "<Types/>",
        "word/document.xml": f"<w:document {W}><w:body>{body}</w:body></w:document>",
        "word/styles.xml": (
            f'<w:styles {W}><w:style w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
            '<w:style w:styleId="H2"><w:name w:val="heading 2"/></w:style></w:styles>'
        ),
    })  # fmt: skip


def pptx() -> bytes:
    def shape(text: str, kind: str) -> str:
        holder = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        runs = f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>"
        return f"<p:sp>{holder}<p:txBody>{runs}</p:txBody></p:sp>"

    def relations(*entries: tuple[str, str, str]) -> str:
        rows = "".join(
            f'<Relationship Id="{i}" Type="{RELATION}/{kind}" Target="{target}"/>'
            for i, kind, target in entries
        )
        return f"<Relationships>{rows}</Relationships>"

    slides = {
        f"ppt/slides/slide{n}.xml": (
            f"<p:sld {P}>{shape(title, 'title')}{shape(text, 'body')}</p:sld>"
        )
        for n, title, text in ((1, "First", "one"), (2, "Second", "two"))
    }
    return zipped({
        "[Content_Types].xml": "<Types/>",
        # Shown in the other order than the names have.
        "ppt/presentation.xml": (
            f'<p:presentation {P}><p:sldIdLst><p:sldId r:id="b"/><p:sldId r:id="a"/>'
            "</p:sldIdLst></p:presentation>"
        ),
        "ppt/_rels/presentation.xml.rels": relations(
            ("a", "slide", "slides/slide1.xml"), ("b", "slide", "slides/slide2.xml")
        ),
        **slides,
        "ppt/slides/_rels/slide1.xml.rels": relations(("n", "notesSlide", "../notes/n1.xml")),
        "ppt/notes/n1.xml": f"<p:notes {P}>{shape('say hello', 'body')}</p:notes>",
    })  # fmt: skip


def xlsx(rows: str = "") -> bytes:
    """A workbook of one sheet, with these rows of XML or two of its own."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rows = rows or (
        '<row r="1"><c r="A1" t="inlineStr"><is><t>name</t></is></c>'
        '<c r="B1" t="inlineStr"><is><t>n</t></is></c></row>'
        '<row r="2"><c r="A2" t="inlineStr"><is><t>x</t></is></c><c r="B2"><v>5</v></c></row>'
    )
    sheet = f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    return zipped({
        "[Content_Types].xml": (
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
            f'<Override PartName="/xl/s1.xml" ContentType="{kinds}.worksheet+xml"/></Types>'
        ),
        "_rels/.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="r" Type="{RELATION}/officeDocument" Target="xl/workbook.xml"/>'
            "</Relationships>"
        ),
        "xl/workbook.xml": (
            f'<workbook xmlns="{main}" xmlns:r="{RELATION}"><sheets>'
            '<sheet name="Data" sheetId="1" r:id="a"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": (
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            f'<Relationship Id="a" Type="{RELATION}/worksheet" Target="s1.xml"/></Relationships>'
        ),
        "xl/s1.xml": sheet,
    })  # fmt: skip


def epub() -> bytes:
    return zipped({
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": (
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OPS/book.opf"/></rootfiles></container>'
        ),
        "OPS/book.opf": (
            '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
            '<item id="a" href="one.xhtml"/><item id="b" href="t%20wo.xhtml"/></manifest>'
            '<spine><itemref idref="b"/><itemref idref="a"/></spine></package>'
        ),
        "OPS/one.xhtml": "<html><head><title>One</title></head><body><p>first</p></body></html>",
        "OPS/t wo.xhtml": "<html><head><title>Two</title></head><body><p>zweite é</p></html>",
    })  # fmt: skip


def database(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE people (name TEXT, age INTEGER); INSERT INTO people VALUES ('Ann', 40), "
        "('Bo', NULL); CREATE TABLE \"odd name\" (x); CREATE VIEW old AS SELECT * FROM people "
        "WHERE age > 30;"
    )
    connection.close()
    return path.read_bytes()


MAIL = (
    b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r\nTo: a@example.org\r\n"
    b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"
    b"--B\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\nHall\xf6chen\r\n"
    b'--B\r\nContent-Type: application/pdf; name="a.pdf"\r\n'
    b'Content-Disposition: attachment; filename="a.pdf"\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0=\r\n--B--\r\n"
)
MBOX = (
    b"From a@example.org Mon Nov  2 10:00:00 2026\nSubject: one\n\nbody one\n>From here on\n\n"
    b"From b@example.org Mon Nov  2 11:00:00 2026\nSubject: two\n\nbody two\n"
)
NOTEBOOK = (
    '{"nbformat": 4, "cells": [{"cell_type": "markdown", "source": ["# Title\\n", "text"]}, '
    '{"cell_type": "code", "source": "1 + 1", "outputs": [{"data": {"text/plain": ["2"], '
    '"image/png": "AAAA"}}, {"traceback": ["\\u001b[31mBoom\\u001b[0m"]}]}]}'
)
PAGE = (
    "<!doctype html><html><head><title>The  Page</title><style>p {}</style></head><body>"
    "<script>hidden()</script><h1>Head</h1><p>One <b>bold</b> word.<br>Next</p>"
    '<ul><li>item <a href="/x">link</a></li></ul>'
    "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table></body></html>"
)
