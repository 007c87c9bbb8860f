"""Checking values against a JSON Schema within a time limit, by the library that knows how.

Imported where the first schema is checked: the library and what it needs would be a tenth of
what a server imports before it can answer its client.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from ._types import JsonSchema

__all__ = ["TooSlowError", "Unresolvable", "checker", "invalid"]

_SHOWN_CHARS = 300
_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]
_until: ContextVar[float] = ContextVar("_until")


class TooSlowError(Exception):
    """Checking took longer than any honest schema needs."""


def invalid(schema: object) -> SchemaError | None:
    """Why something is no JSON Schema, or `None` where it is one."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error
    return None


def checker(schema: JsonSchema, seconds: float) -> Callable[[object], Iterator[ValidationError]]:
    """What says of a value of JSON what does not fit; it raises `TooSlowError` or `Unresolvable`.

    Args:
        schema: a valid one.
        seconds: of this thread's processor time, in which all checks together have to end.
    """
    _until.set(time.thread_time() + seconds)
    # A registry of its own: the default one would fetch a reference to a URL.
    validator = _TimedValidator(schema, registry=Registry(), format_checker=_FORMATS)

    def check(value: object) -> Iterator[ValidationError]:
        found: Iterator[ValidationError] = validator.iter_errors(value)
        return found

    return check


def _timed(keyword: _Keyword) -> _Keyword:
    def step(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        if time.thread_time() > _until.get():
            raise TooSlowError
        return keyword(validator, value, instance, schema)

    return step


def _unique(_validator: Any, unique: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    # The library compares each entry with each, which 30,000 objects keep busy for an hour.
    if not unique or not isinstance(instance, list):
        return
    seen = set()
    for item in instance:
        if time.thread_time() > _until.get():
            raise TooSlowError
        if (known := _hashable(item)) in seen:
            yield ValidationError(f"{repr(item)[:_SHOWN_CHARS]} is there twice")
            return
        seen.add(known)


def _hashable(value: Any) -> object:
    """The same for values that JSON Schema calls equal, and for no others."""
    if isinstance(value, dict):
        return dict, frozenset((key, _hashable(part)) for key, part in value.items())
    if isinstance(value, list):
        return list, tuple(map(_hashable, value))
    return (bool, value) if isinstance(value, bool) else value


def _is_moment(read: Callable[[str], object]) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        if isinstance(value, str):
            read(value)
        return True

    return check


# Those that values of the guest are made of, as the guest reads them; others only describe.
_FORMATS = FormatChecker(formats=())
for _name, _read_moment in (
    ("date", datetime.date.fromisoformat),
    ("date-time", datetime.datetime.fromisoformat),
    ("time", datetime.time.fromisoformat),
):
    _FORMATS.checks(_name, ValueError)(_is_moment(_read_moment))


_TimedValidator = extend(
    Draft202012Validator,
    {
        name: _timed(keyword)
        for name, keyword in {**Draft202012Validator.VALIDATORS, "uniqueItems": _unique}.items()
    },
)
