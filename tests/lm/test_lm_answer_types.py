"""Types as JSON Schemas and back: every schema is valid, and takes what its type is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NewType, Optional, TypedDict, Union

import pytest
from jsonschema import Draft202012Validator

from sandbox_wasm.guest import _answer_make, _answer_type


@pytest.fixture(scope="module")
def types() -> Any:
    return _answer_type


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(Enum):
    YES = "yes"
    NO = "no"


@dataclasses.dataclass
class Node:
    """A tree."""

    name: str
    children: list[Node] = dataclasses.field(default_factory=list)
    other: Branch | None = None


@dataclasses.dataclass
class Branch:
    node: Node
    level: Level = dataclasses.field(default=Level.LOW, metadata={"description": "how high"})


class Keywords(TypedDict):
    properties: Word
    default: Pair
    enum: Word
    const: Optional[Pair]  # noqa: UP045 - as some write it


class Pair(NamedTuple):
    left: int
    right: Union[float, str] = 0.0  # noqa: UP007


Id = NewType("Id", int)


@dataclasses.dataclass
class Twice:
    first: Annotated[int, "the first", {"minimum": 1}]
    second: Mapping[Word, Sequence[Id]]
    third: dict[str, Any] = dataclasses.field(default_factory=dict)
    fourth: Literal["a", 2, True, None] = "a"
    hidden: int = dataclasses.field(default=5, init=False)


PAIR = {"left": 1, "right": "r"}
NODE = {"name": "n", "children": [{"name": "c"}], "other": {"node": {"name": "o"}, "level": "HIGH"}}


@pytest.mark.parametrize(
    ("hint", "data", "value"),
    [
        (
            Node,
            NODE,
            Node("n", [Node("c")], Branch(Node("o"), Level.HIGH)),
        ),
        (list[Branch], [{"node": {"name": "o"}}], [Branch(Node("o"))]),
        (
            Keywords,
            {"properties": "yes", "default": PAIR, "enum": "no", "const": None},
            {"properties": Word.YES, "default": Pair(1, "r"), "enum": Word.NO, "const": None},
        ),
        (
            Twice,
            {"first": 3, "second": {"yes": [1, 2]}, "fourth": True},
            Twice(3, {Word.YES: [Id(1), Id(2)]}, {}, True),
        ),
        (Union[Pair, Word, int], "no", Word.NO),  # noqa: UP007
        (Union[int, bool], True, True),  # noqa: UP007
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[Word, Pair], ["no", PAIR], (Word.NO, Pair(1, "r"))),
        (frozenset[str], ["a"], frozenset("a")),
        (dict[Level, int], {"LOW": 4}, {Level.LOW: 4}),
        (float, 3, 3.0),
        (int, 3.0, 3),
        (list, [1, "a"], [1, "a"]),
        (Any, {"x": 1}, {"x": 1}),
        (None, None, None),
    ],
    ids=lambda case: repr(case)[:40],
)
def test_a_schema_takes_what_the_type_is_made_of(
    types: Any, hint: Any, data: Any, value: Any
) -> None:
    found = types.answer_type(hint)
    Draft202012Validator.check_schema(found.schema)
    Draft202012Validator(found.schema).validate(data)
    made = found.make(data)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("hint", "data", "problem"),
    [
        (Node, {"name": "n", "children": [{"name": 5}]}, r"at children\[0\].name: 5 is not text"),
        (Node, {"name": "n", "extra": 1}, "Node has no field 'extra'"),
        (Node, {}, "Node wants the field name"),
        (list[Level], ["LOW", "MID"], r"at \[1\]: 'MID' is none of \['LOW', 'HIGH'\]"),
        (dict[int, str], {"one": "a"}, "the key 'one' is not a whole number"),
        (int, True, "True is not a whole number"),
        (int, float("inf"), "inf is not a whole number"),
        (tuple[int, int], [1], "is not a list of 2"),
        (Literal[1], True, "True is none of"),
    ],
    ids=lambda case: repr(case)[:40],
)
def test_a_value_that_does_not_fit_is_named_by_its_place(
    types: Any, hint: Any, data: Any, problem: str
) -> None:
    found = types.answer_type(hint)
    with pytest.raises(_answer_make.UnfitError, match=problem):
        found.make(data)
    if data != {"one": "a"} and data != float("inf"):  # which JSON Schema cannot say, or JSON
        assert not Draft202012Validator(found.schema).is_valid(data)


def test_an_object_stands_at_the_top_and_what_is_used_once_in_its_place(types: Any) -> None:
    schema = types.answer_type(Branch).schema
    assert schema["type"] == "object"
    assert schema["properties"]["level"] == {
        "type": "string", "enum": ["LOW", "HIGH"], "description": "how high",
    }  # fmt: skip
    assert schema["$defs"].keys() == {"Node", "Branch"}
    assert "$defs" not in types.answer_type(Twice).schema


def test_two_classes_of_one_name_are_told_apart(types: Any) -> None:
    def make(kind: Any) -> Any:
        return dataclasses.make_dataclass("Same", [("value", kind)])

    first, second = make(int), make(str)
    hint: Any = tuple
    found = types.answer_type(hint[first, first, second, second])
    Draft202012Validator(found.schema).validate(data := [{"value": v} for v in (1, 2, "a", "b")])
    assert [one.value for one in found.make(data)] == [1, 2, "a", "b"]
    assert found.schema["$defs"].keys() == {"Same", "Same2"}
