"""The preview of containers: types of the items, the schema of nested data, first and last."""

from collections import deque
from typing import Any

from ._fit import fit, plural
from ._kinds import base_of, first_items
from ._label import label
from ._render import short
from ._sample import SAMPLE, spread
from ._schema import Shape
from ._tokens import tokens_of

_COUNTED = 1_000  # characters from which it is said how many tokens they are


def describe_container(value: Any, base: Any, room: int) -> list[str]:
    """Type and size, what the items are, the schema of what they hold, the ends."""
    size = base.__len__(value)
    if not size:
        return [f"{label(value)} (empty)"]
    items = spread(value, base, SAMPLE)
    part = "" if len(items) >= size else f" (of {len(items):,} sampled)"
    out = [label(value) + _tokens_in(value, base, items)]
    if base is not dict:
        out.append(f"items: {Shape.outer(items).line()}{part}")
        shape = Shape.of(items)
    else:
        out.append(f"keys: {Shape.outer(key for key, _ in items).line()}{part}")
        if size < 60:  # a record
            shape = Shape.of([value])
        else:
            shape = Shape.of([item for _, item in items])
            out.append(f"values: {shape.line()}{part}")
    if shape.keys or shape.each:
        looked = f" ({shape.count:,} sampled)" if 1 < shape.count < size else ""
        out.append(f"schema{looked}:")
        out += fit(shape.lines(), room * 55 // 100)
    return out + ends(value, base, room - sum(len(row) + 1 for row in out))


def _tokens_in(value: Any, base: Any, items: list[Any]) -> str:
    """How much text there is, where the items or the values are texts."""
    texts = [item[1] if base is dict else item for item in items]
    texts = [text for text in texts if base_of(text) is str]
    if not texts or 2 * len(texts) < len(items):
        return ""
    about = "" if len(items) >= base.__len__(value) else "about "
    total = sum(map(str.__len__, texts)) * base.__len__(value) // len(items)
    if total < _COUNTED:
        return ""
    sample = "".join([str.__getitem__(text, slice(0, 200)) for text in texts])
    return f", {about}{plural(total, 'char')}, ~{plural(tokens_of(sample, total), 'token')}"


def ends(value: Any, base: Any, room: int) -> list[str]:
    """The first items of a container one by one and, where there is an order, the last."""
    each = max(60, min(400, room // 4))
    items = first_items(value, 6)
    if base is dict:
        rows = [f"[{short(k, 60)}] = {short(v, each)}" for k, v in items]
    else:
        rows = [f"[{i}] {short(item, each)}" for i, item in enumerate(items)]
    tail: list[str] = []
    if base.__len__(value) > len(rows) and base in (list, tuple, deque):
        tail = [f"[-1] {short(base.__getitem__(value, -1), each)}"]
    return fit(rows, room - sum(map(len, tail)) - 8) + tail
