"""Getting data out of a reply, and checking it against a JSON Schema.

The schema comes from guest code and is checked in the process that holds the secrets, so it can
neither make this process fetch a reference, nor keep it busy: checking has a time limit, and what
cannot be interrupted is refused: regular expressions, and data of too many values. References
lead only to where a schema is, so that nothing is taken for one that was not checked. Call
`read_data` in a thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..sandbox import is_too_fine
from ._types import JsonSchema

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_SCHEMA_CHARS = 100_000
MAX_CHECK_S = 1.0  # measured: 50 fields in each of 200 items take 0.2 s
_MAX_ERRORS = 5
_MAX_ERROR_CHARS = 300
_START = re.compile(r"[\[{]")
_MAX_FENCES, _MAX_STARTS = 4, 50
"""Of a reply in which JSON is looked for."""
MAX_SUBSCHEMAS = 2_000
"""Objects in a schema; the check of each takes up to 1 ms (measured)."""
MAX_LIST = 500
"""Entries of a list in a schema that are no plain values: they are compared with each other."""
_REFUSED = ("pattern", "patternProperties", "unevaluatedItems", "unevaluatedProperties")
"""The first two are regular expressions, the others search with a time that nothing bounds."""
_OF_NAMES = ("properties", "$defs", "definitions", "dependentSchemas")
_OF_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_OF_ONE = (
    "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
    "propertyNames", "then",
)  # fmt: skip
_OWN_REFERENCE = re.compile(
    rf"#(?:(?:/(?:{'|'.join(map(re.escape, _OF_NAMES))})/[^/]*"
    rf"|/(?:{'|'.join(_OF_LISTS)})/[0-9]+|/(?:{'|'.join(_OF_ONE)}))*|[A-Za-z_][\w.-]*)"
)
"""Anchors, and pointers that lead to a schema."""


class SchemaMismatchError(Exception):
    """A reply does not fit the schema. Seen by the model that is asked again, then the guest."""


class UnusableSchemaError(Exception):
    """A schema is not valid, or needs what is not allowed. Its text is for the guest."""


def check_schema(schema: JsonSchema) -> None:
    """Raise `UnusableSchemaError` unless this is a JSON Schema that can be checked here."""
    try:
        text = json.dumps(schema, allow_nan=False)
        if "\\ud" in text.lower():  # it goes into prompts, which take whole characters alone
            json.dumps(schema, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UnusableSchemaError("the schema holds half of a surrogate pair") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise UnusableSchemaError(f"the schema is not JSON: {error}") from None
    if len(text) > MAX_SCHEMA_CHARS:
        problem = f"the schema has {len(text)} characters; at most {MAX_SCHEMA_CHARS}"
        raise UnusableSchemaError(problem)
    try:
        _check_text(text)
    except RecursionError:
        raise UnusableSchemaError("the schema is nested too deeply") from None


@lru_cache(maxsize=256)  # a map sends the same schema a thousand times
def _check_text(text: str) -> None:
    from . import _validator  # a tenth of a server's start, and most never need it

    schema = json.loads(text)
    _check_size(schema)
    schema.pop("$schema", None)  # this dialect is what is checked, whatever it says
    if (error := _validator.invalid(schema)) is not None:
        problem = f"the schema is not valid at {error.json_path}: {_short(error.message)}"
        raise UnusableSchemaError(problem)
    if unusable := _problem(schema):
        raise UnusableSchemaError(unusable)


def _check_size(schema: Any) -> None:
    """Refuse what would take long even to check as a schema."""
    objects, rest = 0, [schema]
    while rest:
        node = rest.pop()
        objects += isinstance(node, dict)
        children = list(node.values() if isinstance(node, dict) else node)
        parts = [child for child in children if isinstance(child, dict | list)]
        if objects > MAX_SUBSCHEMAS or (isinstance(node, list) and len(parts) > MAX_LIST):
            raise UnusableSchemaError("the schema has too many parts: ask for less at once")
        rest += parts


def read_data(text: str, schema: JsonSchema) -> Any:
    """Return the value in a reply, checked; raise `SchemaMismatchError` with what is wrong."""
    from . import _validator

    # Another dialect would be checked by another class, without the time limit.
    schema = {key: part for key, part in schema.items() if key != "$schema"}
    check = _validator.checker(schema, MAX_CHECK_S)
    first: list[str] = []
    for value in _values(text):
        errors = _errors(check, value)
        if not errors:
            return value
        first = first or errors
    raise SchemaMismatchError("; ".join(first))


def _errors(check: Callable[[object], Iterator[ValidationError]], value: object) -> list[str]:
    """What is wrong with a value."""
    from . import _validator

    try:
        found = islice(check(value), _MAX_ERRORS)
        return [f"at {error.json_path}: {_short(error.message)}" for error in found]
    except (_validator.TooSlowError, RecursionError):
        raise UnusableSchemaError("checking the answer against the schema takes too long") from None
    except _validator.Unresolvable as error:
        raise UnusableSchemaError(f"the schema refers to nothing: {_short(str(error))}") from None
    except (ValueError, ArithmeticError) as error:  # 10**400 as a multiple of 0.5, a strange `$id`
        problem = f"the answer cannot be checked against the schema: {_short(str(error))}"
        raise UnusableSchemaError(problem) from None


def instruction(schema: JsonSchema) -> str:
    """Return what to add to a prompt for a model without structured output of its own."""
    return (
        "Answer with one JSON value and nothing else: no explanation, no code fence. "
        f"It must fit this JSON Schema:\n{json.dumps(schema, ensure_ascii=False)}"
    )


def is_object_schema(schema: JsonSchema) -> bool:
    """Whether only an object fits at the top, which is what providers' own support needs."""
    return schema.get("type") == "object"


def _values(text: str) -> Iterator[Any]:
    """The values that a reply may mean; at least one, or an error."""
    stripped = text.strip()
    if is_too_fine(stripped.encode("utf-8", "surrogatepass")):
        # Reading it would hold up this process, and take a hundred times its size.
        raise SchemaMismatchError("the answer has over a million values: submit less")
    try:
        yield _load(stripped)
        return
    except (ValueError, RecursionError) as error:
        problem = f"the answer is not JSON: {error}"
    # Models wrap JSON in a fence or in a sentence: a fence is meant, the last above all.
    fenced = [part.partition("\n")[2] for part in stripped.split("```")[1::2]]
    found = False
    for part in [*reversed(fenced[-_MAX_FENCES:]), stripped]:
        for value in _values_within(part):
            found = True
            yield value
    if not found:
        raise SchemaMismatchError(problem)


def _values_within(text: str) -> Iterator[Any]:
    """Objects and lists in a text, from its beginning on."""
    end = 0
    for _ in range(_MAX_STARTS):
        match = _START.search(text, end)
        if match is None:
            return
        try:
            value, end = _DECODER.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            end = match.end()
            continue
        yield value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_load = _DECODER.decode


def _problem(schema: Any) -> str | None:
    """What cannot be checked here, in a valid schema or below it."""
    if not isinstance(schema, dict):
        return None
    below: list[Any] = []
    for word, part in schema.items():
        if word in _REFUSED:
            return f"`{word}` is not supported in a schema: check it in your code"
        if word == "$schema":
            return "`$schema` is supported only at the top of a schema"
        if word in ("$ref", "$dynamicRef") and not _OWN_REFERENCE.fullmatch(part):
            return f"the schema refers to nothing: `{word}` must name a part of it: #/$defs/name"
        if word in _OF_NAMES:
            below += part.values()
        elif word in _OF_LISTS:
            below += part
        elif word in _OF_ONE:
            below.append(part)
    return next((problem for part in below if (problem := _problem(part))), None)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_ERROR_CHARS else text[: _MAX_ERROR_CHARS - 3] + "..."
