"""E-mail: one message, or a mailbox of them."""

from __future__ import annotations

import re
from contextlib import suppress
from email.errors import HeaderParseError
from email.feedparser import BytesFeedParser
from email.header import decode_header, make_header
from email.parser import BytesParser
from email.policy import Compat32
from typing import Any

from ._page import page_of
from ._part import Part
from ._text import decode_small

_SEPARATOR = re.compile(rb"(?:\A|\n\r?\n)(From [^\n]*\n)")
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADERS = 500
_DEEPEST = 32
"""Levels of parts in parts: each line is compared with the ends of all that are open."""
_PARAMETERS = 8 << 10
"""Characters of a header that says what a part is; all of its parameters are read several times."""
_ENCODED = 200
"""Words of a header that are decoded at a time, since decoding takes time by the square."""
_WORD = 10_000


class _TooDeepError(ValueError):
    """Parts lie in parts without end."""


class _Policy(Compat32):
    """The usual one, but for endless headers of parts."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Take a header apart."""
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_PARAMETERS] if name.lower().startswith("content-") else value


class _Parser(BytesFeedParser):
    """The usual one, with a bound on how deeply parts are nested."""

    def __init__(self) -> None:
        self._depth = 0
        super().__init__(policy=_Policy())

    def _parsegen(self) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _TooDeepError
        yield from super()._parsegen()  # type: ignore[misc]
        self._depth -= 1


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
    parser = _Parser()
    try:
        parser.feed(data)
        message = parser.close()
    except _TooDeepError:
        part.note(
            f"Parts of a message are nested over {_DEEPEST} levels deep: they are one attachment."
        )
        message = BytesParser(policy=_Policy()).parsebytes(data, headersonly=True)
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
    words = text.split()
    if "=?" in text:
        pieces = [words[at : at + _ENCODED] for at in range(0, len(words), _ENCODED)]
        return " ".join(" ".join(_words(piece).split()) for piece in pieces)
    return " ".join(words)


def _words(words: list[str]) -> str:
    """Some words of a header, decoded where they are encoded."""
    text = " ".join(words)
    if max(map(len, words)) <= _WORD:
        with suppress(ValueError, LookupError, HeaderParseError):
            return str(make_header(decode_header(text)))
    return text


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
