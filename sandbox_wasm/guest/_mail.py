"""E-mail: one message, or a mailbox of them."""

from __future__ import annotations

import re
from contextlib import suppress
from email import policy
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesParser
from typing import Any

from ._page import page_of
from ._part import Part
from ._text import decode_small

_SEPARATOR = re.compile(rb"(?:\A|\n\r?\n)(From [^\n]*\n)")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADERS = 500


def eml_message(part: Part) -> dict[str, Any]:
    """One message: `subject`, `from`, `to`, `date`, `headers`, `text`, `html`, `attachments`.

    Raises:
        LoadError: it is no message.
    """
    data = part.data()
    found = _message(data, part)
    if not found["headers"]:
        raise part.error("it has no headers, so it is no e-mail. Load it with format='text'.")
    return found


def mbox_messages(part: Part) -> list[dict[str, Any]]:
    """The messages of a mailbox.

    Raises:
        LoadError: it is no mailbox.
    """
    data = part.data()
    starts = [(found.start(1), found.end(1)) for found in _SEPARATOR.finditer(data)]
    if not starts or starts[0][0] != 0:
        raise part.error(
            "it does not begin with a line 'From ...', so it is no mailbox. Load it with "
            "format='text' or 'eml'."
        )
    messages = []
    for number, (_, begin) in enumerate(starts):
        end = starts[number + 1][0] if number + 1 < len(starts) else len(data)
        messages.append(_message(_QUOTED.sub(rb"\1", data[begin:end]), part))
    return messages


def _message(data: bytes, part: Part) -> dict[str, Any]:
    message = BytesParser(policy=policy.compat32).parsebytes(data)
    headers = [(name, _header(raw)) for name, raw in list(message.raw_items())[:_HEADERS]]
    first: dict[str, str] = {}
    for name, value in headers:
        first.setdefault(name.lower(), value)
    texts: list[str] = []
    pages: list[str] = []
    attachments = []
    try:
        for piece in message.walk():
            if piece.is_multipart():
                continue
            kind, file = piece.get_content_type(), piece.get_filename()
            if file is None and kind in ("text/plain", "text/html") and not _attached(piece):
                (texts if kind == "text/plain" else pages).append(_decoded(piece))
            else:
                payload = piece.get_payload(decode=True)
                attachments.append(
                    {"name": _header(file or ""), "type": kind, "data": payload or b""}
                )
    except (ValueError, LookupError, RecursionError, AttributeError, KeyError, TypeError) as error:
        part.note(f"A part of a message could not be read ({type(error).__name__}).")
    html = "\n".join(pages)
    text = "\n".join(texts)
    if not text.strip() and html:
        text = str(page_of(html, part))
    return {
        "subject": first.get("subject", ""),
        "from": first.get("from", ""),
        "to": first.get("to", ""),
        "date": first.get("date", ""),
        "headers": headers,
        "text": text,
        "html": html,
        "attachments": attachments,
    }


def _header(raw: object) -> str:
    """The text of a header. The parser that knows addresses and dates takes ten times as long."""
    text = str(raw)
    if not text.isascii():  # bytes beyond ASCII, which the parser marks in its own way
        text = decode_small(text.encode("utf-8", "surrogateescape"))[0]
    if "=?" in text:
        with suppress(ValueError, LookupError, HeaderParseError):
            text = str(make_header(decode_header(text)))
    return " ".join(text.split())


def _attached(piece: Any) -> bool:
    try:
        return bool(piece.get_content_disposition() == "attachment")
    except (ValueError, IndexError, AttributeError):
        return False


def _decoded(piece: Any) -> str:
    data = piece.get_payload(decode=True) or b""
    charset = piece.get_content_charset() or "utf-8"
    try:
        return str(data.decode(charset))
    except (LookupError, UnicodeDecodeError):
        return decode_small(data)[0]
