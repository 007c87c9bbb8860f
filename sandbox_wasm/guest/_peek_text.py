"""Ranges of a text, by characters and by lines."""

from collections.abc import Iterator

from ._call import Call, Shown
from ._fit import escape, fitting
from ._label import unit_of
from ._lines import Text, as_text, line_count, newline_of, offset_of_line


def show_chars(text: Text, call: Call) -> str:
    """A range of characters, or of bytes."""
    noun = unit_of(text)
    start, stop = call.bounds(len(text), noun)
    room = call.max_chars
    count = min(stop - start, room)
    shown = escape(as_text(text[start : start + count]))
    while len(shown) > room and count > 1:  # escapes are longer than what they stand for
        count = max(1, min(count - 1, count * room // len(shown)))
        shown = escape(as_text(text[start : start + count]))
    part = Shown(noun, start, start + count, stop, len(text))
    return shown + part.footer(call.but(unit="chars"))


def show_lines(text: Text, call: Call) -> str:
    """A range of lines without their ends."""
    total = line_count(text)
    start, stop = call.bounds(total, "line")
    position = offset_of_line(text, start + 1)
    rows = fitting(_lines(text, position, stop - start, call.max_chars), call.max_chars)
    if not rows and start < stop:  # one line longer than the room
        chars = call.but(start=position, length=None, unit="chars")
        return f"[line {start + 1:,} is long; from its begin as chars:]\n{show_chars(text, chars)}"
    return "\n".join(rows) + Shown("line", start, start + len(rows), stop, total).footer(call)


def _lines(text: Text, position: int, count: int, most: int) -> Iterator[str]:
    """Lines from an offset on, of each a little more than could be shown."""
    newline = newline_of(text)
    for _ in range(count):
        limit = position + most + 1
        end = text.find(newline, position, limit)
        end = min(len(text), limit) if end < 0 else end
        yield escape(as_text(text[position:end])).removesuffix("\\r")
        position = end + 1
