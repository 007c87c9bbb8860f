"""Turning bytes of the source into text without holding both at once.

ASCII is read by the host straight into the string. Other UTF-8 is decoded in windows, twice when
it is long: the first time to learn how many characters there are and how wide the widest is, the
second time to put each window into its place in a string of just that size. What was used on the
way is zeroed, because the next commit would have to store it as garbage.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Protocol

WINDOW = 8 << 20
"""Bytes read at a time: a hundredth of what fits, and large enough that calls cost nothing."""
MAX_READ = 64 << 20
"""The most that the host gives in one call."""
_PLAIN = 1 << 20
"""Below this, text is decoded in one piece."""
_KEPT = 128 << 20
"""Up to this the decoded windows are kept and put together: faster by half, and twice the size."""
_MIN_WIPE = 4096
_SAMPLE = 16 << 10
_PROBE = 64 << 10

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FILLER = {1: "\x80", 2: "\u0100", 4: "\U00010000"}
_CODEC = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
_ASCII_HEADER = sys.getsizeof("") - 1
_WIDE_HEADER = sys.getsizeof("\u0100\u0101") - 6
_BYTES_HEADER = sys.getsizeof(b"") - 1


class LoadError(Exception):
    """A source cannot be turned into the value that was asked for; the text is for the agent."""


class _BadByteError(Exception):
    """What should be UTF-8 is not; the argument is where, counted from the text's beginning."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class Source(Protocol):
    """The source as the host hands it in."""

    size: int

    def read(self, offset: int, length: int, /) -> bytes:
        """Bytes, at most 64 MB a call; fewer only when the source has become shorter."""
        ...

    def ascii(self, offset: int, length: int, /) -> str | None:
        """Text, if all of it is ASCII."""
        ...

    def wipe(self, buffer: bytes, /) -> None:
        """Zero a buffer that is about to be dropped."""
        ...


def read_exactly(source: Source, offset: int, length: int) -> bytes:
    """Read bytes of any length.

    Raises:
        LoadError: the source has become shorter.
    """
    if length <= MAX_READ:
        data = source.read(offset, length) if length else b""
        if len(data) != length:
            raise LoadError("The file became shorter while it was read. Load it again.")
        return data
    whole = bytes(length)
    target = _raw(id(whole) + _BYTES_HEADER, length)
    for start in range(0, length, WINDOW):
        window = read_exactly(source, offset + start, min(WINDOW, length - start))
        target[start : start + len(window)] = window
        source.wipe(window)
    return whole


def read_text(
    source: Source,
    offset: int,
    length: int,
    notes: list[str],
    name: str = "",
    declared: str | None = None,
) -> str:
    """Read text in whatever encoding it is.

    Args:
        source: where from.
        offset: where it begins.
        length: its bytes.
        notes: gets a sentence when the encoding was guessed.
        name: what to call the file in it.
        declared: the encoding that the source says it has; a byte-order mark goes before it.

    Raises:
        LoadError: the source changed meanwhile.
        MemoryError: it does not fit.
    """
    head = read_exactly(source, offset, min(_PROBE, length))
    encoding, skip = by_mark(head, length)
    offset += skip
    length -= skip
    bad = None
    if declared is not None and not skip:
        return _read_other(source, offset, length, declared, "replace")
    if encoding == "utf-8":
        if head[skip:].isascii():
            text = source.ascii(offset, length) if length else ""
            if text is not None:
                return text
        try:
            if length < _PLAIN:
                return read_exactly(source, offset, length).decode()
            return _read_wide(source, offset, length)
        except UnicodeDecodeError as error:
            bad = error.start
        except _BadByteError as error:
            bad = error.at
    elif not skip:
        notes.append(_sentence(name, f"was decoded as {encoding}, a guess: no byte-order mark"))
    errors = "strict"
    if bad is not None:
        start = max(0, bad - _SAMPLE // 2)
        sample = read_exactly(source, offset + start, min(_SAMPLE, length - start))
        encoding, errors = guess(sample)
        how = f"decoded as {encoding}, a guess"
        if errors == "replace":
            how = "its broken bytes were replaced by U+FFFD"
        byte = sample[bad - start : bad - start + 1].hex().upper()
        notes.append(_sentence(name, f"is not UTF-8 (0x{byte} at byte {bad + skip:,}): {how}"))
    try:
        return _read_other(source, offset, length, encoding, errors)
    except UnicodeDecodeError:
        single = encoding.startswith(("cp125", "iso8859", "mac", "koi8"))
        other, how = ("latin-1", "latin-1") if single else (encoding, "U+FFFD where it does not")
        notes.append(_sentence(name, f"does not hold to {encoding}: read as {how}"))
        return _read_other(source, offset, length, other, "replace")


def decode_small(data: bytes, guessed: str | None = None) -> tuple[str, str | None]:
    """Decode a file that is in memory.

    Args:
        data: its bytes.
        guessed: an encoding to take instead of guessing when it is not UTF-8.

    Returns:
        The text, and the encoding when it was a guess.
    """
    encoding, skip = by_mark(data, len(data))
    if skip:
        data = data[skip:]
    try:
        return data.decode(encoding), None if skip or encoding == "utf-8" else encoding
    except UnicodeDecodeError as error:
        if skip and encoding != "utf-8":
            return data.decode(encoding, "replace"), encoding
        start = max(0, error.start - _SAMPLE // 2)
    errors = "strict"
    if guessed is None:
        guessed, errors = guess(data[start : start + _SAMPLE])
    try:
        return data.decode(guessed, errors), guessed
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


def by_mark(head: bytes, length: int) -> tuple[str, int]:
    """The encoding that a file's beginning shows, and how long its byte-order mark is."""
    for mark, encoding in _BOMS:
        if head.startswith(mark) and not (encoding == "utf-32-le" and length % 4):
            return encoding, len(mark)
    # UTF-16 without a mark, as Windows tools write it: every other byte of Latin text is NUL.
    even, odd = head[:256:2], head[1:256:2]
    if length % 2 == 0 and len(odd) >= 8:
        if odd.count(0) * 10 > len(odd) * 7 and not even.count(0):
            return "utf-16-le", 0
        if even.count(0) * 10 > len(even) * 7 and not odd.count(0):
            return "utf-16-be", 0
    return "utf-8", 0


def guess(sample: bytes) -> tuple[str, str]:
    """The likeliest encoding of bytes that are not UTF-8, and how to treat errors in it."""
    text = sample.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    wide = len(text) - len(text.encode("ascii", "ignore")) - broken
    if wide > 4 * broken:
        return "utf-8", "replace"  # UTF-8 with damage, not something else
    if sum(byte > 0x7F for byte in sample) >= 32:  # a guess from less is no better than chance
        try:
            charset_normalizer: Any = import_module("charset_normalizer")
            best = charset_normalizer.from_bytes(sample, enable_fallback=False).best()
        except (ImportError, ValueError, LookupError):
            best = None
        if best is not None and best.encoding not in ("ascii", "utf_8"):
            return best.encoding.replace("_", "-"), "strict"
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1", "strict"
    return "cp1252", "strict"


def drop_text(text: str) -> None:
    """Zero a long string that nobody else holds and that is about to be dropped."""
    if len(text) >= _MIN_WIPE:
        header = _ASCII_HEADER if text.isascii() else _WIDE_HEADER
        length = _width(text) * len(text)
        view = _raw(id(text) + header, length)
        zeros = bytes(min(length, _PLAIN))
        for start in range(0, length, len(zeros)):
            end = min(start + len(zeros), length)
            view[start:end] = zeros[: end - start]


def _read_wide(source: Source, offset: int, length: int) -> str:
    """Read UTF-8 into a string that is made once, at its final size.

    Raises:
        _BadByteError: it is not UTF-8.
    """
    kept: list[str] = []
    characters, width = 0, 1
    for piece in _pieces(source, offset, length):
        characters += len(piece)
        width = max(width, _width(piece))
        if length <= _KEPT:
            kept.append(piece)
        else:
            drop_text(piece)
        del piece
    if len(kept) == 1:
        return kept[0]
    text = _FILLER[width] * characters
    target = _raw(id(text) + _WIDE_HEADER, characters * width)
    done = widest = 0
    is_ascii = True
    for piece in _taken(kept) if kept else _pieces(source, offset, length):
        own = _width(piece)
        widest = max(widest, own)
        is_ascii = is_ascii and piece.isascii()
        if done + len(piece) > characters or widest > width:
            break
        at, end = done * width, (done + len(piece)) * width
        if own == width and not piece.isascii():
            target[at:end] = _raw(id(piece) + _WIDE_HEADER, end - at)
        else:
            data = piece.encode(_CODEC[width])
            target[at:end] = data
            source.wipe(data)
        done += len(piece)
        drop_text(piece)
        del piece
    # A string that is wider than it needs to be, or has a hole, would break the interpreter.
    if done != characters or widest != width or is_ascii:
        raise LoadError("The file was changed while it was read. Load it again.")
    return text


def _pieces(source: Source, offset: int, length: int) -> Iterator[str]:
    """UTF-8 decoded window by window, cut between characters."""
    at = 0
    while at < length:
        window = read_exactly(source, offset + at, min(WINDOW, length - at))
        try:
            piece, used = codecs.utf_8_decode(window, "strict", at + len(window) == length)
        except UnicodeDecodeError as error:
            raise _BadByteError(at + error.start) from None
        source.wipe(window)
        del window
        yield piece
        del piece
        at += used


def _taken(pieces: list[str]) -> Iterator[str]:
    pieces.reverse()
    while pieces:
        yield pieces.pop()


def _read_other(source: Source, offset: int, length: int, encoding: str, errors: str) -> str:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    pieces = []
    for start in range(0, length, WINDOW):
        window = read_exactly(source, offset + start, min(WINDOW, length - start))
        pieces.append(decoder.decode(window, start + len(window) == length))
        source.wipe(window)
    text = "".join(pieces)
    while pieces:
        piece = pieces.pop()
        if piece is not text:
            drop_text(piece)
        del piece
    return text


def _width(text: str) -> int:
    """Bytes of a character in memory; only right while no UTF-8 form of it is cached."""
    if not text or text.isascii():
        return 1
    return (sys.getsizeof(text) - _WIDE_HEADER) // (len(text) + 1)


def _raw(address: int, length: int) -> memoryview:
    """The memory of an object that was just made, or is about to go, to be written to.

    The guest has no ctypes, but numpy makes an array of any address; where the tests run, it
    is the other way round.
    """
    try:
        numpy: Any = import_module("numpy")
    except ImportError:
        import ctypes

        return memoryview((ctypes.c_char * length).from_address(address)).cast("B")
    place = type("Place", (), {})()
    place.__array_interface__ = {
        "data": (address, False), "shape": (length,), "typestr": "|u1", "version": 3,
    }  # fmt: skip
    return memoryview(numpy.asarray(place))


def _sentence(name: str, what: str) -> str:
    return f"{name or 'The text'} {what}."
