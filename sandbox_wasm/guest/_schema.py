"""The schema of nested data: keys and types at every place, and how often each occurs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from ._fit import plural
from ._kinds import base_of, first_items, type_name
from ._label import unit_of
from ._render import short

_VISITS = 2_500  # values visited for a schema: about 30 ms in the guest
_DEPTH = 6
_HOLDERS = frozenset((dict, list, tuple, set, deque))
_MEASURED = frozenset((*_HOLDERS, frozenset, str, bytes, bytearray))
_SHOWN = frozenset((str, bytes, bool))
_KEYS = 40  # shown of one place; a dict of 60 and more is described by its values


class Visits:
    """How many values may still be visited for one schema."""

    def __init__(self) -> None:
        self.left = _VISITS


class Shape:
    """What the values at one place of nested data have in common."""

    def __init__(self) -> None:
        self.count = 0
        self.types: dict[str, int] = {}
        self.keys: dict[str, Shape] = {}
        self.each: Shape | None = None
        self.low: Any = None
        self.high: Any = None
        self.unit: str | None = None  # of low and high; None is none yet, "?" several
        self.example = ""
        self.empty = 0

    @classmethod
    def of(cls, values: list[Any]) -> Shape:
        """The shape of the values and of all they hold, as far as the visits last."""
        shape, visits = cls(), Visits()
        # In an order that covers the whole range when the visits end early.
        stride = max(1, len(values) // 25)
        for first in range(stride):
            for value in values[first::stride]:
                if visits.left <= 0:
                    return shape
                shape.add(value, visits)
        return shape

    @classmethod
    def outer(cls, values: Iterable[Any]) -> Shape:
        """The shape of the values themselves, not of what they hold."""
        shape, visits = cls(), Visits()
        for value in values:
            shape.add(value, visits, _DEPTH)
        return shape

    def add(self, value: Any, visits: Visits, depth: int = 0) -> None:
        """Count one more value at this place, and what it holds at the places below."""
        visits.left -= 1
        base = base_of(value)
        self._count(value, base)
        # A value that was begun may use as much again, so that each record is seen whole.
        if base not in _HOLDERS or depth >= _DEPTH or visits.left <= -_VISITS:
            return
        for item in first_items(value, 60 if base is dict else 5):
            if base is dict and type(item[0]) is str and dict.__len__(value) < 60:
                place = self.keys.setdefault(item[0], Shape())
                place.add(item[1], visits, depth + 1)
            else:
                self.each = self.each or Shape()
                self.each.add(item[1] if base is dict else item, visits, depth + 1)

    def _count(self, value: Any, base: Any) -> None:
        self.count += 1
        kind = type(value)
        name = "None" if value is None else type_name(kind)
        self.types[name] = self.types.get(name, 0) + 1
        if kind is int or (kind is float and value == value):
            measure, unit = value, ""
        elif base in _MEASURED:
            measure = base.__len__(value)
            unit = unit_of(value)
            self.empty += measure == 0
        else:
            measure, unit = None, None
        if measure is not None:
            if self.unit is None:
                self.unit, self.low, self.high = unit, measure, measure
            elif self.unit != unit:
                self.unit = "?"
            if measure < self.low:
                self.low = measure
            elif measure > self.high:
                self.high = measure
        if not self.example and base in _SHOWN and measure != 0:
            self.example = short(value, 40)

    def line(self) -> str:
        """Types, range, share of empty values and an example, in one line."""
        kinds = sorted(self.types, key=lambda name: -self.types[name])
        shares = [f"{name} {self.types[name] * 100 / self.count:.0f} %" for name in kinds[:5]]
        text = kinds[0] if len(kinds) == 1 else " | ".join(shares)
        if self.unit not in (None, "?"):
            text += f" {self._range(self.unit or '')}"
        text += f", {self.empty * 100 // self.count} % empty" if self.empty else ""
        return text + (f", e.g. {self.example}" if self.example else "")

    def _range(self, unit: str) -> str:
        low, high = short(self.low, 20), short(self.high, 20)
        if low != high:
            return f"{low}..{high}" + (f" {unit}s" if unit else "")
        return plural(self.low, unit) if unit else low

    def lines(self, indent: int = 1) -> Iterator[str]:
        """The places below, each with its share of the records and its own line."""
        pad = "  " * indent
        dicts = max(1, self.count - sum(n for t, n in self.types.items() if t in ("None", "list")))
        for key, place in list(self.keys.items())[:_KEYS]:
            often = f" (in {place.count * 100 // dicts} %)" if place.count < dicts else ""
            yield f"{pad}{short(key, 60)}{often}: {place.line()}"
            yield from place.lines(indent + 1)
        if len(self.keys) > _KEYS:
            yield f"{pad}... {plural(len(self.keys) - _KEYS, 'more key')}"
        if self.each:
            yield f"{pad}each: {self.each.line()}"
            yield from self.each.lines(indent + 1)
