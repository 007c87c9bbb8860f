"""Which format a file is in: by what it begins with where that is certain, else by its name."""

from __future__ import annotations

import struct
import zipfile

from ._bounds import DAMAGE
from ._part import Part
from ._text import by_mark

FORMATS = (
    "text", "bytes", "lines", "json", "jsonl", "csv", "tsv", "yaml", "toml", "xml", "html",
    "pdf", "docx", "pptx", "xlsx", "epub", "eml", "mbox", "ipynb", "sqlite", "parquet", "arrow",
    "folder",
)  # fmt: skip

BY_SUFFIX = {
    "json": "json", "geojson": "json", "ipynb": "ipynb", "jsonl": "jsonl", "ndjson": "jsonl",
    "csv": "csv", "tsv": "tsv", "yaml": "yaml", "yml": "yaml", "toml": "toml", "xml": "xml",
    "rss": "xml", "atom": "xml", "xsd": "xml", "kml": "xml", "gpx": "xml", "html": "html",
    "htm": "html", "xhtml": "html", "pdf": "pdf", "docx": "docx", "docm": "docx", "pptx": "pptx",
    "pptm": "pptx", "xlsx": "xlsx", "xlsm": "xlsx", "xlsb": "xlsx", "xls": "xlsx", "epub": "epub",
    "eml": "eml",
    "mbox": "mbox", "mbx": "mbox", "parquet": "parquet", "feather": "arrow", "arrow": "arrow",
}  # fmt: skip
"""What a name says, where the content does not say otherwise."""

_BINARY = ("pdf", "docx", "pptx", "xlsx", "epub")
"""Formats that a file can only be in when it begins as they do."""
COMPRESSIONS = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zst"}
_MAGIC = {
    b"%PDF-": "pdf", b"SQLite format 3\0": "sqlite", b"PAR1": "parquet", b"ARROW1\0\0": "arrow",
    b"FEA1": "arrow",
}  # fmt: skip
_TAR_MAGIC, TAR_HEAD = b"ustar", 512
_HEAD = 8192
_ODS = b"application/vnd.oasis.opendocument.spreadsheet"
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def recognise(part: Part) -> str:
    """What `auto` means for a file.

    Returns:
        One of `FORMATS`, where `folder` stands for an archive; or `gz`, `bz2` and the like for
        one file that is compressed. What the caller should know becomes a note.
    """
    if not part.length:
        part.note("The file is empty.")
        return "text"
    head = part.head(_HEAD)
    if (compression := compression_of(head)) is not None:
        return compression
    found = by_content(part, head)
    if found is not None:
        return found
    named = BY_SUFFIX.get(part.suffix)
    if named in _BINARY and (named != "pdf" or b"%PDF-" not in head[:1024]):
        if head.startswith(_OLE):
            if part.suffix == "xls":
                return "xlsx"
            part.note(_ole_note(part.suffix))
            return "bytes"
        part.note(f"It is no {named} file, whatever its name says: its content decided.")
        named = None
    if named is not None:
        return named
    if head.startswith(_OLE):
        part.note(_ole_note(part.suffix))
        return "bytes"
    encoding, _ = by_mark(head, part.length)
    if encoding == "utf-8" and part.encoding is None and b"\0" in head:
        if (image := image_note(head)) is not None:
            part.note(image)
        else:
            part.note("The file is binary (it has NUL bytes), so it was loaded as bytes.")
        return "bytes"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower()
    if "." not in part.name.rpartition("/")[2] and start.startswith((b"<!doctype html", b"<html")):
        return "html"
    return "text"


def compression_of(head: bytes) -> str | None:
    """How a file is compressed, by its beginning."""
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), None)


def is_tar(head: bytes) -> bool:
    """Whether a file that begins like this is a tar archive."""
    return head[257:262] == _TAR_MAGIC


def by_content(part: Part, head: bytes) -> str | None:
    """The format that a file is certainly in."""
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if is_tar(head):
        return "folder"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(part)
    return None


def _kind_of_zip(part: Part) -> str:
    try:
        with part.stream() as stream, zipfile.ZipFile(stream) as archive:
            names = set(archive.namelist()[:5000])
            means = b""
            if "mimetype" in names and archive.getinfo("mimetype").file_size < 100:
                means = archive.read("mimetype").strip()
    except DAMAGE:
        # Its parser says what is wrong with it.
        named = BY_SUFFIX.get(part.suffix, "folder")
        return named if named in _BINARY else "folder"
    if means == _ODS:
        return "xlsx"
    if "META-INF/container.xml" in names and "mimetype" in names:
        return "epub"
    if "[Content_Types].xml" in names:
        for name, kind in (
            ("word/document.xml", "docx"),
            ("ppt/presentation.xml", "pptx"),
            ("xl/workbook.xml", "xlsx"),
            ("xl/workbook.bin", "xlsx"),
        ):
            if name in names:
                return kind
    return "folder"


def _ole_note(suffix: str) -> str:
    if suffix in ("docx", "xlsx", "pptx", "docm", "xlsm", "pptm"):
        return "The file is protected by a password, so it was loaded as bytes. Save it without."
    return (
        "It is a file of an old Office format (.doc, .ppt, .msg), for which there is no parser; "
        "it was loaded as bytes. Save it in a newer format."
    )


def image_note(head: bytes) -> str | None:
    """What kind of image a file is and how large, or `None` if it is none."""
    found = image_size(head)
    if found is None:
        return None
    kind, width, height = found
    size = f", {width:,} x {height:,} pixels" if width and height else ""
    return f"A {kind} image{size}, as bytes; PIL.Image.open(io.BytesIO(x)) opens it."


def image_size(head: bytes) -> tuple[str, int, int] | None:
    """Kind, width and height in pixels of an image, from its beginning; 0 where it does not say."""
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return "PNG", *struct.unpack(">II", head[16:24])
        if head.startswith((b"GIF87a", b"GIF89a")):
            return "GIF", *struct.unpack("<HH", head[6:10])
        if head.startswith(b"BM") and head[6:10] == bytes(4):
            width, height = struct.unpack("<ii", head[18:26])
            return "BMP", width, abs(height)
        if head.startswith(b"\xff\xd8\xff"):
            return "JPEG", *_jpeg_size(head)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return "WebP", *_webp_size(head)
        if head.startswith((b"II*\0", b"MM\0*")):
            return "TIFF", 0, 0
        if head[4:12] in (b"ftypavif", b"ftypheic", b"ftypmif1"):
            return "HEIF", 0, 0
    except struct.error:
        return "damaged", 0, 0
    return None


def _jpeg_size(head: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    if head[12:16] == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if head[12:16] == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return 0, 0
