"""Types as the form of an answer: the JSON Schema that one stands for, and values made of JSON.

`answer_type(list[Item])` gives both. What is not a type that JSON can say is refused by the name
of the field it stands at.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ._answer_make import (
    SCALARS,
    Make,
    Schema,
    UnfitError,
    anything,
    at_place,
    checked,
    choice,
    int_key,
    list_of,
    shown,
)

MAX_NAMED = 200
"""Classes in one schema; a generic alias that grows with each use would never end."""


@dataclasses.dataclass(frozen=True)
class AnswerType:
    """What an answer must be.

    Args:
        schema: as a JSON Schema.
        make: turns JSON that fits the schema into a value of the type; raises `UnfitError`.
    """

    schema: Schema
    make: Make


def answer_type(hint: Any) -> AnswerType:
    """Read a type: a class of fields, an Enum, `list[...]`, `Literal[...]`, `X | None`, ...

    Raises:
        TypeError: it, or the type of a field, cannot be an answer's; the text says which.
    """
    reader = _Reader()
    schema, make = reader.read(hint, "schema")
    return AnswerType(reader.whole(schema), make)


class _Reader:
    """Reads types, and keeps those with a name so that they can refer to each other."""

    def __init__(self) -> None:
        self._names: dict[Any, str] = {}
        self._schemas: dict[str, Schema] = {}
        self._makes: dict[str, Make] = {}
        self._uses: dict[str, int] = {}

    def whole(self, schema: Schema) -> Schema:
        """The schema with the definitions it refers to: those used once stand in their place."""
        top: Schema = self._inlined(schema)
        seen: set[str] = set()
        while (name := _target(top)) is not None:
            if name in seen:
                raise TypeError(f"schema: {name} stands for itself")
            seen.add(name)
            # Providers want the type at the top.
            top = {**self._inlined(self._schemas[name]), **_without(top, "$ref")}
        defined = {
            name: self._inlined(found)
            for name, found in self._schemas.items()
            if self._uses[name] > 1
        }
        return {**top, "$defs": defined} if _refers(top) else top

    def _inlined(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._inlined(item) for item in node]
        if not isinstance(node, dict):
            return node
        name = _target(node)
        if name is not None and self._uses[name] == 1:
            return {**self._inlined(self._schemas[name]), **_without(node, "$ref")}
        inlined: Schema = {}
        for key, found in node.items():
            if key == "properties":  # a field may have any name, also that of a keyword
                inlined[key] = {field: self._inlined(one) for field, one in found.items()}
            else:
                kept = key in ("enum", "default", "const")
                inlined[key] = found if kept else self._inlined(found)
        return inlined

    def read(self, hint: Any, where: str) -> tuple[Schema, Make]:
        """The schema of a type, and what makes a value of it."""
        if hint is None:
            hint = type(None)
        if hint in (Any, object):
            return {}, anything
        if isinstance(hint, type) and hint in SCALARS:
            return dict(SCALARS[hint][0]), SCALARS[hint][1]
        if isinstance(hint, str | typing.ForwardRef):
            raise TypeError(f"{where}: {hint!r} is the name of a type, not a type")
        origin, given = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            return self._annotated(given, where)
        if origin in _WRAPPERS:
            return self.read(given[0], where)
        if origin is typing.Literal:
            return choice([(_plain(option, where), option) for option in given])
        if origin in (typing.Union, types.UnionType):
            return self._union(given, where)
        if isinstance(hint, typing.NewType):
            return self.read(hint.__supertype__, where)
        if type(hint).__name__ == "TypeAliasType":
            return self._named(hint, hint.__name__, lambda: self.read(hint.__value__, where))
        kind = origin or hint
        if not isinstance(kind, type):
            raise _unusable(hint, where)
        return self._class(hint, kind, given, where)

    def _class(
        self, hint: Any, kind: type, given: tuple[Any, ...], where: str
    ) -> tuple[Schema, Make]:
        if issubclass(kind, enum.Enum):
            members = list(kind)
            # A number says nothing to a model; the name of its member does.
            by_value = all(type(member.value) is str for member in members)
            schema, make = choice([(m.value if by_value else m.name, m) for m in members])
            described = _described(kind, schema)
            return self._named(kind, kind.__name__, lambda: (described, make))
        if typing.is_typeddict(kind) or dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
            if given:
                raise TypeError(f"{where}: {shown(hint)} is generic; write the class out")
            return self._named(kind, kind.__name__, lambda: self._fields(kind))
        if kind is tuple and given and given[-1] is not ...:
            return self._tuple(given, where)
        if kind in _LISTS:
            schema, make = self.read(given[0], f"{where}[]") if given else ({}, anything)
            return _list_schema(schema), list_of(_LISTS[kind], make)
        if kind in _DICTS:
            return self._mapping(given, where)
        raise _unusable(hint, where)

    def _named(
        self, kind: Any, name: str, read: Callable[[], tuple[Schema, Make]]
    ) -> tuple[Schema, Make]:
        """Read a type with a name once, and refer to it: it may hold itself."""
        known = self._names.get(kind)
        if known is None:
            if len(self._names) >= MAX_NAMED:
                raise TypeError(f"schema: more than {MAX_NAMED} classes in one type")
            known, number = name, 1
            while known in self._uses:
                number += 1
                known = f"{name}{number}"
            self._names[kind] = known
            self._uses[known] = 0
            self._schemas[known], self._makes[known] = read()
        self._uses[known] += 1
        makes = self._makes
        return {"$ref": f"#/$defs/{known}"}, lambda value: makes[known](value)

    def _annotated(self, given: tuple[Any, ...], where: str) -> tuple[Schema, Make]:
        """Text beside a type describes it, a dict is more of its JSON Schema."""
        schema, make = self.read(given[0], where)
        for more in given[1:]:
            if isinstance(more, str):
                schema["description"] = more
            elif isinstance(more, dict):
                schema.update(more)
        return schema, make

    def _union(self, given: Iterable[Any], where: str) -> tuple[Schema, Make]:
        read = [self.read(option, where) for option in given]

        def make(value: Any) -> Any:
            problem: UnfitError | None = None
            for _, one in read:
                try:
                    return one(value)
                except UnfitError as error:
                    problem = problem or error
            raise problem or UnfitError("no type fits")

        return {"anyOf": [schema for schema, _ in read]}, make

    def _tuple(self, given: tuple[Any, ...], where: str) -> tuple[Schema, Make]:
        read = [self.read(item, f"{where}[{index}]") for index, item in enumerate(given)]
        size = len(read)

        def make(value: Any) -> Any:
            if not isinstance(value, list) or len(value) != size:
                raise UnfitError(f"{shown(value)} is not a list of {size}")
            pairs = enumerate(zip(read, value, strict=True))
            return tuple(at_place(f"[{index}]", one, item) for index, ((_, one), item) in pairs)

        schemas = [schema for schema, _ in read]
        return {
            "type": "array", "prefixItems": schemas, "items": False, "minItems": size,
            "maxItems": size,
        }, make  # fmt: skip

    def _mapping(self, given: tuple[Any, ...], where: str) -> tuple[Schema, Make]:
        if not given:
            return {"type": "object"}, checked(dict, "an object")
        names, make_key = self.read(given[0], f"{where} (key)")
        schema, make = self.read(given[1], f"{where}[]")
        whole: Schema = {"type": "object", "additionalProperties": schema}
        if given[0] is int:
            make_key = int_key
        elif "enum" in self._schemas.get(_target(names) or "", names):
            whole["propertyNames"] = names
        elif given[0] is not str:
            raise TypeError(f"{where}: keys of an object are str, int or a choice of texts")

        def build(value: Any) -> Any:
            if not isinstance(value, dict):
                raise UnfitError(f"{shown(value)} is not an object")
            return {
                at_place(f"[{key!r}]", make_key, key): at_place(f"[{key!r}]", make, item)
                for key, item in value.items()
            }

        return whole, build

    def _fields(self, kind: Any) -> tuple[Schema, Make]:
        """A dataclass, TypedDict or NamedTuple as an object that has its fields, and no others."""
        name = kind.__name__
        hints = _hints(kind)
        known, defaults, notes = _known_fields(kind, hints)
        makes: dict[str, Make] = {}
        properties: dict[str, Schema] = {}
        for field in known:
            properties[field], makes[field] = self.read(hints.get(field, Any), f"{name}.{field}")
            if field in notes:
                properties[field]["description"] = notes[field]
            if field in defaults and _is_plain(defaults[field]):
                properties[field]["default"] = defaults[field]
        required = [field for field in known if field not in defaults]
        schema: Schema = {
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": False,
        }  # fmt: skip
        make_whole = dict if typing.is_typeddict(kind) else kind

        def make(value: Any) -> Any:
            if not isinstance(value, dict):
                raise UnfitError(f"{shown(value)} is not an object")
            if more := value.keys() - makes.keys():
                raise UnfitError(f"{name} has no field {shown(min(more))}")
            if missing := [field for field in required if field not in value]:
                raise UnfitError(f"{name} wants the field {missing[0]}")
            made = {
                field: at_place(f".{field}", makes[field], item) for field, item in value.items()
            }
            try:
                return make_whole(**made)
            except Exception as error:
                problem = f"{name} cannot be made of it ({type(error).__name__}: {error})"
                raise UnfitError(problem) from error

        return _described(kind, schema), make


_UNSET: Any = object()


def _known_fields(
    kind: Any, hints: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any], dict[str, str]]:
    """The fields of a class in order, defaults of those that may be left out, and descriptions."""
    if typing.is_typeddict(kind):
        optional: Iterable[str] = kind.__optional_keys__
        return list(hints), dict.fromkeys(optional, _UNSET), {}
    if not dataclasses.is_dataclass(kind):
        return list(kind._fields), dict(kind._field_defaults), {}
    fields = [field for field in dataclasses.fields(kind) if field.init]
    defaults = {
        field.name: field.default if field.default is not dataclasses.MISSING else _UNSET
        for field in fields
        if not field.default is field.default_factory is dataclasses.MISSING
    }
    notes = {
        field.name: field.metadata["description"]
        for field in fields
        if isinstance(field.metadata.get("description"), str)
    }
    return [field.name for field in fields], defaults, notes


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind, localns={kind.__name__: kind}, include_extras=True)
    except Exception as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
        raise TypeError(f"schema: the types of {kind.__name__} {problem}") from None


def _described(kind: type, schema: Schema) -> Schema:
    """The schema with the docstring of a class, unless the class was given it by its maker."""
    text = kind.__doc__
    own = isinstance(text, str) and not text.startswith(f"{kind.__name__}(")
    if not own or text == enum.Enum.__doc__ or "__doc__" not in vars(kind):
        return schema
    return {**schema, "description": " ".join(str(text).split())}


def _plain(option: Any, where: str) -> Any:
    if isinstance(option, enum.Enum):
        return option.value if type(option.value) is str else option.name
    if option is not None and type(option) not in (str, int, bool):
        raise TypeError(f"{where}: {option!r} of Literal cannot be said in JSON")
    return option


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (str, int, float, bool)


def _list_schema(items: Schema) -> Schema:
    # Of a set too: what comes twice is in it once, and asking again for that is not worth a call.
    schema: Schema = {"type": "array"}
    if items:
        schema["items"] = items
    return schema


_LISTS: dict[Any, Any] = {
    list: list, abc.Sequence: list, abc.MutableSequence: list, abc.Collection: list,
    abc.Iterable: list, tuple: tuple, set: set, abc.Set: set, abc.MutableSet: set,
    frozenset: frozenset,
}  # fmt: skip
_DICTS = (dict, abc.Mapping, abc.MutableMapping)
_WRAPPERS = tuple(
    getattr(typing, name)
    for name in ("Required", "NotRequired", "ReadOnly", "Final")
    if hasattr(typing, name)
)


def _target(schema: Schema) -> str | None:
    found = schema.get("$ref")
    return found.removeprefix("#/$defs/") if isinstance(found, str) else None


def _refers(node: Any) -> bool:
    if isinstance(node, list):
        return any(map(_refers, node))
    return isinstance(node, dict) and ("$ref" in node or any(map(_refers, node.values())))


def _without(schema: Schema, name: str) -> Schema:
    return {key: value for key, value in schema.items() if key != name}


def _unusable(hint: Any, where: str) -> TypeError:
    hint_text = f"{where}: {shown(hint)} cannot be the type of an answer"
    if isinstance(hint, type) and getattr(hint, "__annotations__", None):
        return TypeError(f"{hint_text}; make it a @dataclass")
    return TypeError(
        f"{hint_text}; use str, int, float, bool, None, list[...], dict[str, ...], Literal, Enum, "
        "a dataclass, a TypedDict or a NamedTuple"
    )
