"""PDF: the text of each page."""

from __future__ import annotations

from ._outside import parsed, value_of
from ._part import Part
from ._text import LoadError

_NAMED = 5


def pdf_pages(part: Part) -> list[str]:
    """The text of each page of a PDF.

    Raises:
        LoadError: it is damaged, or encrypted with a password.
    """
    try:
        data = parsed(part, "pdf")
    except LoadError as error:
        cause = str(error).rstrip(".")
        if cause == "password":
            raise part.error(
                "the PDF is encrypted. Remove the password, or load it with format='bytes' and "
                "use pypdf.PdfReader(...).decrypt(password) in code."
            ) from None
        raise part.error(
            f"the PDF is damaged ({cause}). Get it again, or load it with format='bytes'."
        ) from None
    found = value_of(data, part)
    texts: list[str] = found["pages"]
    failed: list[int] = found["failed"]
    missed = set(failed)
    empty = [n for n, text in enumerate(texts, 1) if not text.strip() and n not in missed]
    if failed:
        part.note(f"Pages that could not be read (empty in the list): {_numbers(failed)}.")
    if texts and len(empty) == len(texts):
        part.note("No page has text: they are images, likely scanned. There is no OCR here.")
    elif empty:
        part.note(f"Pages without text (blank, or scanned): {_numbers(empty)}.")
    return texts


def _numbers(pages: list[int]) -> str:
    more = f" and {len(pages) - _NAMED:,} more" if len(pages) > _NAMED else ""
    return ", ".join(f"{n:,}" for n in pages[:_NAMED]) + more
