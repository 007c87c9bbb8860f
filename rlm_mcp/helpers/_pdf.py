"""PDF to the text of its pages, by PDFium.

What is made is a JSON object: `pages`, the text of each, and `failed`, the numbers of those that
could not be read, whose text is empty.
"""

from __future__ import annotations

import json
from typing import Any

import pypdfium2

MAX_PAGES = 100_000
"""A page costs some time even where it is empty (a guess; the longest books have some 10,000)."""
_WRONG_PASSWORD = "password"
_HYPHENS = str.maketrans({"\ufffe": "-", "\x02": "-"})
"""How PDFium says that a word is divided at the end of a line."""
# The codec of PDFium's texts, while its module can still be read.
"".encode("utf-16-le").decode("utf-16-le")


def pages(data: bytes, limit: int) -> bytes:
    """The text of each page of a PDF as JSON; see above.

    Args:
        data: the file.
        limit: the most bytes that are made of it.

    Raises:
        ValueError: it is damaged, needs a password (then the argument is `password`), or is out
            of bounds.
    """
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if _WRONG_PASSWORD in str(error).lower():
            raise ValueError("password") from None
        raise ValueError(_cause(error)) from None
    count = len(document)
    if count > MAX_PAGES:
        raise ValueError(f"it has {count:,} pages; at most {MAX_PAGES:,} can be loaded")
    texts: list[str] = []
    failed: list[int] = []
    size = 0
    for number in range(count):
        try:
            texts.append(_text(document, number))
        except (pypdfium2.PdfiumError, ValueError):  # one that is damaged must not lose the others
            texts.append("")
            failed.append(number + 1)
        size += len(texts[-1])
        if size > limit:
            raise ValueError(f"its text has over {limit:,} characters, and no more fit")
    found = {"pages": texts, "failed": failed}
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


def _text(document: Any, number: int) -> str:
    page = document[number]
    try:
        content = page.get_textpage()
        try:
            text: str = content.get_text_range(errors="replace")
        finally:
            content.close()
    finally:
        page.close()
    return text.replace("\r\n", "\n").translate(_HYPHENS)


def _cause(error: Exception) -> str:
    """What PDFium says, without the name of its function."""
    return str(error).partition("(PDFium: ")[2].rstrip(").") or str(error)
