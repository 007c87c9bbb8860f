"""Looking at part of a variable: `peek`, the tool.

Every reply that leaves something out ends in a line that names the next call. That line comes on
top of `max_chars`, which bounds what is shown.
"""

from typing import Any

from ._call import Call
from ._citation import Citation, named, text_at
from ._fit import escape
from ._guard import guarded_repr
from ._lines import is_text, plain
from ._path import PeekError, failed, resolve
from ._peek_find import find_in_items, find_in_text
from ._peek_items import items_of
from ._peek_text import show_chars, show_lines
from ._preview import preview
from ._view import is_view
from ._view_show import peek_view

__all__ = ["PeekError", "peek", "resolve"]


def peek(
    namespace: dict[str, Any],
    target: str,
    start: int = 0,
    length: int | None = None,
    unit: str = "chars",
    find: str | None = None,
    context: int = 2,
    max_chars: int = 8_000,
    space: str | None = None,
) -> str:
    """Part of the value at an access path, as text; without a range or `find` its preview.

    Args:
        namespace: the variables.
        target: an access path, or a citation such as `cite:3`.
        start: the first unit to show, from 0 also for lines, so that 0 is the beginning whatever
            the unit; negative counts from the end. Replies number lines from 1 and say both.
        length: how many units; None is as many as `max_chars` allows.
        unit: chars, lines or items. Bytes count for chars; what is no text has items only.
        find: a regular expression, `^` and `$` at every line; shows the lines that match.
        context: lines around each match.
        max_chars: of what is shown; the last line, which names the next call, comes on top.
        space: to be named in the next call.

    Raises:
        PeekError: for what cannot be used, with the fix.
    """
    call = Call(target, start, length, unit, find, context, max_chars, space)
    call.check()
    cited = named(target)
    if cited is not None:
        return _cited(cited, call)
    value = resolve(target, namespace)
    try:
        return _reply(value, call.but(context=min(context, 50)))
    except BaseException as error:
        raise failed(str(Call(target)), error) from None


def _cited(citation: Citation, call: Call) -> str:
    """A place that was cited: what it is, and what stands there."""
    text, note = text_at(citation)
    head = f"{citation!r}" + (f"\n[{note}]" if note else "")
    if call.find is None and call.start == 0 and call.length is None:
        first = citation.first_line
        rows = text[: call.max_chars].split("\n")
        shown = "\n".join(f"{number}: {escape(row)}" for number, row in enumerate(rows, first))
        cut = f"\n[the first {call.max_chars:,} of {len(text):,} chars; next: "
        cut += f"{call.but(start=call.max_chars, length=call.max_chars)}]"
        return f"{head}\n{shown}" + (cut if len(text) > call.max_chars else "")
    return f"{head}\n{_reply(text, call)}"


def _reply(value: Any, call: Call) -> str:
    if is_view(value):
        return peek_view(value, call) or _preview(value, call, True)
    items = None if is_text(value) else items_of(value)
    if items is not None:
        if call.find is not None:
            return find_in_items(items, call)
        if call.start == 0 and call.length is None:
            return _preview(value, call, items.size > 6)
        return items.show(call)
    # What is neither text nor has items is looked at as the text that shows it.
    text = plain(value) if is_text(value) else guarded_repr(value, 1_000_000, keep_lines=True)
    if call.find is not None:
        return find_in_text(text, call)
    if call.start == 0 and call.length is None:
        return _preview(value, call, len(text) > 2_000)
    return show_lines(text, call) if call.unit == "lines" else show_chars(text, call)


def _preview(value: Any, call: Call, more: bool) -> str:
    shown = preview(value, min(call.max_chars, 2_500))
    return shown + (f"\n[preview; all of it from the start: {call}]" if more else "")
