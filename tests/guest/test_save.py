from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox_wasm.guest import _save
from sandbox_wasm.guest._save import SaveError, serialize


def saved(value: Any, format: str = "auto", suffix: str = "") -> str:
    chunks, _ = serialize(value, format, suffix)
    found = list(chunks)
    assert all(type(chunk) is bytes for chunk in found)
    return b"".join(found).decode()


@pytest.mark.parametrize(
    ("value", "suffix", "format"),
    [
        ("text", ".txt", "text"),
        ("text", "", "text"),
        ("text", ".py", "text"),
        ("a,b\n", ".csv", "text"),
        ("# Title", ".md", "text"),
        ('{"a": 1}', ".json", "text"),
        ("not json", ".json", "json"),
        ([1, 2], "", "json"),
        ([1, 2], ".JSON", "json"),
        (["a", "b"], ".txt", "text"),
        ([{"a": 1}], ".jsonl", "jsonl"),
        ([{"a": 1}], ".csv", "csv"),
        ([{"a": 1}], "tsv", "tsv"),
        ([{"a": 1}], ".md", "md"),
        (b"\0", ".txt", "bytes"),
        ({"a": 1}, ".unknown", "json"),
    ],
)
def test_auto_goes_by_suffix_and_value(value: Any, suffix: str, format: str) -> None:
    assert serialize(value, "auto", suffix)[1] == format


def test_text_is_written_as_it_is() -> None:
    assert saved("é\r\nx", "text") == "é\r\nx"
    assert saved(["a", "b"], "text") == "a\nb\n"
    assert saved(3.5, "text") == "3.5\n"
    assert saved("", "text") == ""


def test_long_text_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_save, "_CHUNK", 10)
    text = "日本語" * 20
    assert saved(text, "text") == text
    assert saved([text] * 5, "text") == (text + "\n") * 5
    assert json.loads(saved([text] * 5, "json")) == [text] * 5


def test_half_of_a_surrogate_pair_is_an_error_in_text_and_escaped_in_json() -> None:
    with pytest.raises(SaveError, match="character 2"):
        saved("ab\ud800", "text")
    assert json.loads(saved(["ab\ud800"], "json")) == ["ab\ud800"]


def test_other_values_are_no_text() -> None:
    with pytest.raises(SaveError, match="format='json'"):
        saved({"a": 1}, "text")
    with pytest.raises(SaveError, match="format='json'"):
        saved([1], suffix=".txt")


def test_short_json_is_indented_and_long_json_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert saved({"a": [1]}, "json") == '{\n  "a": [\n    1\n  ]\n}\n'
    monkeypatch.setattr(_save, "_INDENTED", 5)
    assert saved({"a": [1]}, "json") == '{"a": [1]}\n'


@dataclasses.dataclass
class Point:
    x: int
    y: Any


class Colour(enum.Enum):
    RED = "red"


def test_json_knows_common_python_values() -> None:
    value = {
        "point": Point(1, Point(2, {3})),
        "set": {3, 1, 2},
        "mixed": frozenset({1}),
        "date": datetime.date(2026, 1, 2),
        "decimal": decimal.Decimal("1.10"),
        "path": Path("a/b"),
        "enum": Colour.RED,
        "deque": collections.deque([1]),
        "range": range(3),
        "error": ValueError("no"),
        "keys": {"a": 1}.keys(),
        "tuple": (1, 2),
        1: None,
    }
    assert json.loads(saved(value, "json")) == {
        "point": {"x": 1, "y": {"x": 2, "y": [3]}},
        "set": [1, 2, 3],
        "mixed": [1],
        "date": "2026-01-02",
        "decimal": "1.10",
        "path": "a/b",
        "enum": "red",
        "deque": [1],
        "range": [0, 1, 2],
        "error": "ValueError: no",
        "keys": ["a"],
        "tuple": [1, 2],
        "1": None,
    }


def test_what_is_not_a_number_becomes_null() -> None:
    value = {"a": [float("nan"), float("inf"), 1.5], "b": Point(1, float("nan"))}
    assert json.loads(saved(value, "json")) == {"a": [None, None, 1.5], "b": {"x": 1, "y": None}}


def test_values_without_a_json_form_say_what_would_work() -> None:
    with pytest.raises(SaveError, match="base64"):
        saved({"a": b"x"}, "json")
    with pytest.raises(SaveError, match=r"object.*str\(x\)"):
        saved([object()], "json")
    with pytest.raises(SaveError, match="keys"):
        saved({(1, 2): 3}, "json")
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(SaveError, match="contains itself"):
        saved(loop, "json")
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SaveError, match="deeply"):
        saved(deep, "json")


def test_json_lines_are_one_value_a_line() -> None:
    assert saved([{"a": "é\n"}, 2, None], "jsonl") == '{"a": "é\\n"}\n2\nnull\n'
    assert saved([], "jsonl") == ""
    assert saved((i for i in range(2)), "jsonl") == "0\n1\n"
    with pytest.raises(SaveError, match=r"x\.items\(\)"):
        saved({"a": 1}, "jsonl")


def test_tables_come_from_lists_of_dicts_lists_and_columns() -> None:
    assert saved([{"a": 1}, {"b": 'x,"y"', "a": None}], "csv") == 'a,b\n1,\n,"x,""y"""\n'
    assert saved([["a", "b"], [1, [2, 3]]], "csv") == 'a,b\n1,"[2, 3]"\n'
    assert saved({"a": [1, 2], "b": [3, 4]}, "csv") == "a,b\n1,3\n2,4\n"
    assert saved({"x": 1, "y": "z"}, "csv") == "key,value\nx,1\ny,z\n"
    assert saved([Point(1, 2)], "tsv") == "x\ty\n1\t2\n"
    assert saved([1, 2], "csv") == "value\n1\n2\n"
    assert saved([], "csv") == ""


def test_what_is_no_table_is_an_error() -> None:
    for value in ({"a": [1], "b": [1, 2]}, [{"a": 1}, [1]], 5, [[b"x"]]):
        with pytest.raises(SaveError):
            saved(value, "csv")


def test_markdown_tables_escape_what_would_break_them() -> None:
    assert saved([{"a|b": "x\ny", "c": None}], "md") == (
        "| a\\|b | c |\n| --- | --- |\n| x<br>y |  |\n"
    )
    assert saved("# Title", "md") == "# Title"
    assert saved(["a", "b"], "md") == "- a\n- b\n"
    with pytest.raises(SaveError):
        saved(5, "md")


def test_bytes_are_written_as_they_are() -> None:
    for value in (b"\0\xff", bytearray(b"\0\xff"), memoryview(b"\0\xff")):
        chunks, format = serialize(value, "auto", ".png")
        assert (b"".join(chunks), format) == (b"\0\xff", "bytes")
    with pytest.raises(SaveError, match="format='text'"):
        saved("x", "bytes")


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(SaveError, match="jsonl"):
        saved("x", "pickle")
