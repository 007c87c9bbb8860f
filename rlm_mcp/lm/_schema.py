"""Getting data out of a reply, and checking it against a JSON Schema.

The schema comes from guest code and is checked in the process that holds the secrets, so it can
neither make this process fetch a reference, nor keep it busy: checking has a time limit, and
regular expressions, which cannot be interrupted, are refused. Call `read_data` in a thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from ._types import JsonSchema

MAX_SCHEMA_CHARS = 100_000
MAX_CHECK_S = 1.0  # measured: 50 fields in each of 200 items take 0.2 s
_MAX_ERRORS = 5
_MAX_ERROR_CHARS = 300
_REGEX_WORDS = ("pattern", "patternProperties")


class SchemaMismatchError(Exception):
    """A reply does not fit the schema. Seen by the model that is asked again, then the guest."""


class UnusableSchemaError(Exception):
    """A schema is not valid, or needs what is not allowed. Its text is for the guest."""


class _TooSlowError(Exception):
    """Checking took longer than any honest schema needs."""


def check_schema(schema: JsonSchema) -> None:
    """Raise `UnusableSchemaError` unless this is a JSON Schema that can be checked here."""
    try:
        text = json.dumps(schema, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise UnusableSchemaError(f"the schema is not JSON: {error}") from None
    if len(text) > MAX_SCHEMA_CHARS:
        problem = f"the schema has {len(text)} characters; at most {MAX_SCHEMA_CHARS}"
        raise UnusableSchemaError(problem)
    if any(f'"{word}": ' in text for word in _REGEX_WORDS) and (word := _regex_word(schema)):
        raise UnusableSchemaError(f"`{word}` is not supported in a schema: check it in your code")
    _check_text(text)


@lru_cache(maxsize=256)  # a map sends the same schema a thousand times
def _check_text(text: str) -> None:
    try:
        Draft202012Validator.check_schema(json.loads(text))
    except SchemaError as error:
        problem = f"the schema is not valid at {error.json_path}: {_short(error.message)}"
        raise UnusableSchemaError(problem) from None
    except RecursionError:
        raise UnusableSchemaError("the schema is nested too deeply") from None


def read_data(text: str, schema: JsonSchema) -> Any:
    """Return the value in a reply, checked; raise `SchemaMismatchError` with what is wrong."""
    value = _parse(text)
    # A registry of its own: the default one would fetch a reference to a URL.
    validator = _TimedValidator(schema, registry=Registry())
    _until.set(time.monotonic() + MAX_CHECK_S)
    try:
        errors = []
        for error in validator.iter_errors(value):
            errors.append(f"at {error.json_path}: {_short(error.message)}")
            if len(errors) == _MAX_ERRORS:
                break
    except (_TooSlowError, RecursionError):
        raise UnusableSchemaError("checking the answer against the schema takes too long") from None
    except Unresolvable as error:
        raise UnusableSchemaError(f"the schema refers to nothing: {_short(str(error))}") from None
    if errors:
        raise SchemaMismatchError("; ".join(errors))
    return value


def instruction(schema: JsonSchema) -> str:
    """Return what to add to a prompt for a model without structured output of its own."""
    return (
        "Answer with one JSON value and nothing else: no explanation, no code fence. "
        f"It must fit this JSON Schema:\n{json.dumps(schema, ensure_ascii=False)}"
    )


def is_object_schema(schema: JsonSchema) -> bool:
    """Whether only an object fits at the top, which is what providers' own support needs."""
    return schema.get("type") == "object"


def _parse(text: str) -> Any:
    stripped = text.strip()
    try:
        return _load(stripped)
    except (ValueError, RecursionError) as error:
        problem = f"the answer is not JSON: {error}"
    # Models wrap JSON in a fence or in a sentence; take the first value that parses.
    starts = [index for index in (stripped.find("{"), stripped.find("[")) if index >= 0]
    for start in sorted(starts):
        try:
            return _DECODER.raw_decode(stripped, start)[0]
        except (ValueError, RecursionError):
            continue
    raise SchemaMismatchError(problem)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_load = _DECODER.decode


def _regex_word(node: Any) -> str | None:
    # A property may be CALLED "pattern": there its value is a schema, and the keyword's a string.
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            return "pattern"
        if isinstance(node.get("patternProperties"), dict) and all(
            isinstance(value, dict | bool) for value in node["patternProperties"].values()
        ):
            return "patternProperties"
        children: Any = node.values()
    elif isinstance(node, list):
        children = node
    else:
        return None
    for child in children:
        if found := _regex_word(child):
            return found
    return None


_Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]
_until: ContextVar[float] = ContextVar("_until")


def _timed(keyword: _Keyword) -> _Keyword:
    def step(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        if time.monotonic() > _until.get():
            raise _TooSlowError
        return keyword(validator, value, instance, schema)

    return step


_TimedValidator = extend(
    Draft202012Validator,
    {name: _timed(keyword) for name, keyword in Draft202012Validator.VALIDATORS.items()},
)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_ERROR_CHARS else text[: _MAX_ERROR_CHARS - 3] + "..."
