"""What `preview`, `brief` and `echo` promise: useful, bounded, quick, total."""

import collections
import dataclasses
import re
import sys
import time
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from sandbox_wasm.guest._find import grep
from sandbox_wasm.guest._hits import Hit
from sandbox_wasm.guest._preview import echo, preview
from sandbox_wasm.guest._render import brief


@dataclasses.dataclass
class Invoice:
    number: int
    lines: list[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    zeta: int
    alpha: int
    mid: int


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


class LongRepr:
    def __repr__(self) -> str:
        return "\x1b[31m" + "r" * 5_000_000


class WrongRepr:
    def __repr__(self) -> str:
        return 5  # type: ignore[return-value]


class LoopingAttributes:
    def __getattr__(self, name: str) -> Any:
        return getattr(self, name + "x")


class Liar(list[Any]):
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return dict

    def __len__(self) -> int:
        raise SystemExit

    def __iter__(self) -> Iterator[Any]:
        raise SystemExit

    def __repr__(self) -> str:
        raise SystemExit

    def __getitem__(self, key: Any) -> NoReturn:
        raise SystemExit


class HostileDict(dict[Any, Any]):
    def keys(self) -> Any:
        raise RuntimeError

    items = values = __iter__ = keys

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError


class HostileText(str):
    def __getitem__(self, key: Any) -> NoReturn:
        raise RuntimeError

    __len__ = __str__ = __repr__ = __getitem__  # type: ignore[assignment]


class Meta(type):
    def __hash__(cls) -> NoReturn:
        raise RuntimeError

    def __eq__(cls, other: object) -> NoReturn:
        raise RuntimeError

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise RuntimeError


class OfMeta(metaclass=Meta):
    pass


class Slots:
    __slots__ = ("full", "unset")

    def __init__(self) -> None:
        self.full = 1


def _deep(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _own_chain() -> Any:
    class Link:
        def __init__(self, child: Any) -> None:
            self.child = child

        def __repr__(self) -> str:
            return f"Link({self.child!r})"

    link = Link(None)
    for _ in range(3_000):
        link = Link(link)
    return link


def _itself() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


HOSTILE: dict[str, Any] = {
    "repr raises": Raises(ValueError("no")),
    "repr exits": Raises(SystemExit(3)),
    "repr interrupts": Raises(KeyboardInterrupt()),
    "repr raises an own BaseException": Raises(type("Own", (BaseException,), {})()),
    "repr raises an error whose repr raises": Raises(type("E", (Exception,), {"__str__": None})()),
    "repr is long and coloured": LongRepr(),
    "repr is no text": WrongRepr(),
    "attributes loop": LoopingAttributes(),
    "list that lies": Liar([1, 2]),
    "dict that lies": HostileDict(a=1),
    "str that lies": HostileText("abc"),
    "metaclass that lies": OfMeta(),
    "class of a metaclass that lies": OfMeta,
    "slots": Slots(),
    "deep list": _deep(100_000),
    "deep own objects": _own_chain(),
    "deque of a deep list": collections.deque([_deep(100_000)]),
    "list in itself": _itself(),
    "surrogates": "a\ud800b",
    "controls": "\x1b]0;title\x07\x00\u202eabc\x9b",
    "huge int": 10**5_000,
    "huge ints": [-(10**5_000)] * 3,
    "nan": [float("nan"), float("inf"), 1],
    "mixed keys": {1: 2, "a": None, (1, 2): [], None: {}, float("nan"): b""},
    "empty values": ["", [], {}, None, b"", set()],
    "keys of megabytes": {"k/" * 1_000_000: "x", "l.py": "y"},
    "many keys": {f"{i}": {f"{j}": j for j in range(50)} for i in range(300)},
    "exception": ValueError("x" * 100_000),
    "generator": (i for i in range(3)),
    "builtin": len,
    "memory": memoryview(b"abc"),
    "bytes": bytes(range(256)) * 100,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_any_value_is_described_within_bounds_and_without_control_characters(name: str) -> None:
    limit = sys.getrecursionlimit()
    for room in (0, 1, 30, 300, 2_500):
        full, line, shown = (f(HOSTILE[name], room) for f in (preview, brief, echo))
        assert max(len(full), len(line), len(shown)) <= room
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202e]", full + shown)
        assert "\n" not in line and "\t" not in line
        full.encode()
        line.encode()
    assert sys.getrecursionlimit() == limit
    assert brief([HOSTILE[name]]).startswith("list 1 item: ")


def test_the_interrupt_of_the_host_passes_through() -> None:
    stop = type("Stop", (BaseException,), {"__module__": "sandbox_wasm.guest._execute"})
    with pytest.raises(stop):
        preview(Raises(stop()))


def test_a_value_whose_repr_raises_says_so_and_shows_the_others() -> None:
    text = brief([1, Raises(ValueError("no")), "b"])
    assert "1" in text and "Raises: its repr raised ValueError" in text and "'b'" in text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b"], "list 2 items: ['a', 'b']"),
        ({"a": 1}, "dict 1 key: {'a': 1}"),
        ("first", "str 5 chars: 'first'"),
        (b"ab", "bytes 2 bytes: b'ab'"),
        ((1,), "tuple 1 item: (1,)"),
        (set(), "set 0 items"),
        (3, "int 3"),
        (None, "None"),
        (Invoice(7, ["x"]), "Invoice(number=7, lines=['x'])"),
        pytest.param(10**5_000, "<int of about 5,000 digits>", id="huge"),
    ],
)
def test_brief_gives_type_size_and_value(value: object, expected: str) -> None:
    assert brief(value) == expected


def test_things_are_counted_in_singular_and_plural() -> None:
    assert preview({"a": "x"}).startswith("dict 1 key\nkeys: str 1 char, e.g. 'a'")
    assert "1 file " in preview({"src/a.py": "x = 1\n"})
    assert preview("x" * 5).endswith("x") and "1 line, ~1 token\n" in preview("x" * 5)


def test_a_function_shows_all_of_its_parameters() -> None:
    def one(a: int, b: int = 1, /, *rest: int, c: int, **more: int) -> None: ...
    def two(a: int, *, c: int) -> None: ...

    assert brief(one) == "<function one(a, b, *rest, c, **more)>"
    assert brief(two) == "<function two(a, *, c)>"


def test_a_subclass_is_named_once() -> None:
    assert brief(collections.OrderedDict(a=1)) == "OrderedDict (dict) 1 key: {'a': 1}"


def test_a_dataclass_is_shown_in_the_order_of_its_definition() -> None:
    assert brief(Slotted(1, 2, 3)) == "Slotted(zeta=1, alpha=2, mid=3)"
    shown = preview(Slotted(1, 2, 3))
    assert shown.index("zeta") < shown.index("alpha") < shown.index("mid")


def test_hits_are_shown_as_grep_shows_them() -> None:
    hits = grep("x", {"src/a.py": "\nx = 1\n", "b.py": "x"}, context=1)
    assert brief(hits) == "Hits (list) 2 items: [src/a.py:2: x = 1, b.py:1: x]"
    assert brief(hits[0]) == "Hit src/a.py:2: x = 1"
    for value in (hits, list(hits)):
        assert "[0] src/a.py:2: x = 1\n[1] b.py:1: x" in preview(value)
    assert echo(hits[0]) == "src/a.py-1- \nsrc/a.py:2: x = 1"
    assert echo(list(hits)) == "[src/a.py:2: x = 1, b.py:1: x]"


def test_a_hit_made_of_anything_is_described() -> None:
    for where in (Raises(SystemExit(3)), "\x1b", 10**5_000):
        hit = Hit(where, 1, None, 0)  # type: ignore[arg-type]
        assert all(f([hit]) and f(hit) for f in (preview, brief, echo))


def test_lines_of_bytes_are_counted_and_not_estimated() -> None:
    assert "2,000 lines" in preview("été\nline\n".encode() * 1_000)


def test_brief_counts_exactly_and_marks_what_it_leaves_out() -> None:
    text = brief(list(range(3_201)))
    assert text.startswith("list 3,201 items: [0, 1, 2, ") and text.endswith(", ...]")
    assert brief("x" * 18_203_112).startswith("str 18,203,112 chars: 'xxx")
    assert brief("x" * 18_203_112).endswith("…'")


def test_text_shows_size_lines_head_and_tail() -> None:
    text = preview("first line\n" + "middle\n" * 5_000 + "last line\n", 800)
    assert text.startswith("str 35,021 chars, 5,002 lines, ~8,755 tokens")
    assert "first line" in text and text.endswith("last line\n")


def test_short_text_is_shown_whole() -> None:
    assert preview("one\ntwo").endswith("--- all of it:\none\ntwo")


def test_oddities_of_text_are_named() -> None:
    assert "long lines" in preview("a\n" + "x" * 50_000 + "\nb\n")
    assert "a single line" in preview("x" * 50_000)
    assert "lines end in \\r\\n" in preview("a\r\nb\r\n")
    assert "lone surrogates" in preview("a\ud800")
    assert "(empty)" in preview("")
    assert "JSON" in preview('[{"a": 1}]')


def test_nested_records_show_keys_types_ranges_and_how_often_they_occur() -> None:
    rows = [
        {"id": i, "user": {"name": f"n{i}"}, **({"note": "x"} if i % 2 else {})}
        for i in range(10_000)
    ]
    text = preview(rows)
    assert text.startswith("list 10,000 items")
    assert re.search(r"'id': int \d+\.\.\d+", text)
    assert re.search(r"'note' \(in (4|5)\d %\): str", text)
    assert "'name': str 2..5 chars, e.g. 'n0'" in text
    assert "[-1] {'id': 9999" in text


def test_a_null_among_numbers_is_counted() -> None:
    assert "int 75 % | None 25 %" in preview([{"a": None if i % 4 == 0 else i} for i in range(100)])


def test_mixed_items_are_counted_by_type() -> None:
    assert "str 50 % | int 50 %" in preview(["a", 1] * 100)


def test_a_dict_of_many_keys_is_described_by_its_values() -> None:
    text = preview({f"u{i}": {"age": i} for i in range(500)})
    assert "keys: str" in text and "'age': int" in text and "u250" not in text


def test_text_in_a_list_or_dict_is_counted_in_tokens() -> None:
    assert preview(["a" * 100] * 80).startswith("list 80 items, 8,000 chars, ~2,000 tokens\n")
    assert "about 400,000 chars, ~100,000 tokens" in preview(["a" * 100] * 4_000)
    assert "tokens" not in preview(["short", 1]) and "tokens" not in preview(list(range(5_000)))


def test_a_folder_shows_languages_tree_largest_and_empty_files() -> None:
    files = {f"repo/src/m{i}.py": "x = 1\n" * i for i in range(30)}
    files |= {"repo/README.md": "# Title\n", "repo/docs/a.md": "text" * 1_000}
    text = preview(files)
    assert "32 files" in text and "Python 30 files 2,610 chars" in text and "Markdown 2" in text
    assert "src/ 30 files" in text and "tree of 'repo/'" in text
    assert "largest: 'repo/docs/a.md' 4,000" in text
    assert "1 empty, e.g. 'repo/src/m0.py'" in text


def test_own_objects_show_fields_and_methods() -> None:
    assert "number: int 7" in preview(Invoice(7, []))
    assert "(dataclass)" in preview(Invoice(7, []))
    assert "full: int 1" in preview(Slots())


def test_echo_shows_small_values_whole_and_large_ones_as_previews() -> None:
    assert echo({"a": [1, 2, {"b": None}]}) == "{'a': [1, 2, {'b': None}]}"
    assert echo("x\ny") == "'x\\ny'"
    assert echo(list(range(100_000))).startswith("list 100,000 items\n")


@pytest.mark.parametrize(
    "make",
    [
        lambda: "line of text\n" * 20_000_000,
        lambda: list(range(10_000_000)),
        lambda: dict.fromkeys(range(1_000_000)),
        lambda: [{"a": {"b": [i, {"c": "x"}]}} for i in range(100_000)],
        lambda: bytes(300_000_000),
    ],
)
def test_large_values_take_no_longer_than_small_ones(make: Any) -> None:
    value = make()
    began = time.process_time()
    preview(value)
    brief(value)
    # 100 ms is the promise; the rest is for a busy machine.
    assert time.process_time() - began < 0.5
