"""Values made of JSON, as the types of an answer want them; what does not fit is refused."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]
Make = Callable[[Any], Any]
_MAX_SHOWN = 60


class UnfitError(ValueError):
    """A value is not of the type.

    Args:
        problem: with it.
        place: in the answer where it stands, such as `[3].when`.
    """

    def __init__(self, problem: str, place: str = "") -> None:
        super().__init__(f"at {place.lstrip('.')}: {problem}" if place else problem)
        self.problem = problem
        self.place = place


def choice(pairs: list[tuple[Any, Any]]) -> tuple[Schema, Make]:
    """One of some values, each with what it stands for."""
    schema: Schema = {"enum": [plain for plain, _ in pairs]}
    if all(type(plain) is str for plain, _ in pairs):
        schema = {"type": "string", **schema}

    def make(value: Any) -> Any:
        for plain, meant in pairs:
            if value == plain and isinstance(value, bool) is isinstance(plain, bool):
                return meant
        raise UnfitError(f"{shown(value)} is none of {shown([plain for plain, _ in pairs])}")

    return schema, make


def list_of(kind: Any, make: Make) -> Make:
    """What makes a collection of a list."""

    def build(value: Any) -> Any:
        if not isinstance(value, list):
            raise UnfitError(f"{shown(value)} is not a list")
        made = [at_place(f"[{index}]", make, item) for index, item in enumerate(value)]
        try:
            return made if kind is list else kind(made)
        except TypeError as error:  # a set of what cannot be hashed
            raise UnfitError(str(error)) from None

    return build


def at_place(place: str, make: Make, value: Any) -> Any:
    """Make a part of an answer; an error says where it stands."""
    try:
        return make(value)
    except UnfitError as error:
        raise UnfitError(error.problem, place + error.place) from error.__cause__


def anything(value: Any) -> Any:
    """A value as it is."""
    return value


def checked(kind: Any, what: str) -> Make:
    """What takes values of a type, described in words, as they are."""

    def make(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise UnfitError(f"{shown(value)} is not {what}")
        return value

    return make


def _int(value: Any) -> int:
    whole = value.is_integer() if isinstance(value, float) else type(value) is int
    if not whole:
        raise UnfitError(f"{shown(value)} is not a whole number")
    return int(value)


def int_key(value: str) -> int:
    """A key of an object, which JSON has as text."""
    try:
        return int(value)
    except ValueError:
        raise UnfitError(f"the key {shown(value)} is not a whole number") from None


def _float(value: Any) -> float:
    return float(checked(int | float, "a number")(value))


def _parsed(parse: Callable[[str], Any], what: str) -> Make:
    def make(value: Any) -> Any:
        try:
            return parse(value if isinstance(value, str) else str(value))
        except (ValueError, ArithmeticError):
            raise UnfitError(f"{shown(value)} is not {what}") from None

    return make


SCALARS: dict[Any, tuple[Schema, Make]] = {
    str: ({"type": "string"}, checked(str, "text")),
    int: ({"type": "integer"}, _int),
    float: ({"type": "number"}, _float),
    bool: ({"type": "boolean"}, checked(bool, "true or false")),
    type(None): ({"type": "null"}, checked(type(None), "null")),
    datetime.datetime: (
        {"type": "string", "format": "date-time"},
        _parsed(datetime.datetime.fromisoformat, "a date and time"),
    ),
    datetime.date: (
        {"type": "string", "format": "date"},
        _parsed(datetime.date.fromisoformat, "a date"),
    ),
    datetime.time: (
        {"type": "string", "format": "time"},
        _parsed(datetime.time.fromisoformat, "a time"),
    ),
    decimal.Decimal: ({"type": ["number", "string"]}, _parsed(decimal.Decimal, "a number")),
}


def shown(value: Any) -> str:
    """A value or a type for an error."""
    text = value.__name__ if isinstance(value, type) else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
