"""PDF: the text of each page."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from ._bounds import cause
from ._part import Part
from ._text import LoadError

_NAMED = 5


def pdf_pages(part: Part) -> list[str]:
    """The text of each page of a PDF.

    Raises:
        LoadError: it is damaged, or encrypted with a password.
    """
    pypdf: Any = import_module("pypdf")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    stream = part.stream()
    try:
        reader = pypdf.PdfReader(stream)
        if reader.is_encrypted and not reader.decrypt(""):
            raise part.error(
                "the PDF is encrypted. Remove the password, or load it with format='bytes' and "
                "use pypdf.PdfReader(...).decrypt(password) in code."
            )
        pages = list(reader.pages)
    except (MemoryError, RecursionError):
        raise part.error("the PDF is nested too deeply, or too large, to be read.") from None
    except LoadError:
        raise
    except Exception as error:  # pypdf raises what its parts raise
        if type(error).__name__ == "DependencyError":
            raise part.error(
                "the PDF is encrypted in a way that cannot be opened here (AES). Remove the "
                "encryption first."
            ) from None
        raise part.error(
            f"the PDF is damaged ({cause(error)}). Get it again, or load it with format='bytes'."
        ) from None
    texts: list[str] = []
    failed: list[int] = []
    for number, page in enumerate(pages, 1):
        try:
            texts.append(str(page.extract_text() or ""))
        except MemoryError:
            raise
        except Exception:  # one page that cannot be read must not lose the others
            texts.append("")
            failed.append(number)
    empty = [n for n, text in enumerate(texts, 1) if not text.strip() and n not in failed]
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
