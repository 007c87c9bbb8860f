"""Which variables the agent is told about after an execution."""

import math
import time
from typing import Any

from sandbox_wasm.guest._variables import changes, snapshot, summary


def _kinds(before: dict[str, Any], code: str, mentioned: set[str]) -> dict[str, str]:
    taken = snapshot(before, mentioned, frozenset({"helper"}))
    exec(code, before)  # noqa: S102
    before.pop("__builtins__", None)
    return {entry["name"]: entry["kind"] for entry in changes(taken, before)}


def test_added_rebound_and_removed_names_are_told_apart() -> None:
    space = {"kept": 1, "rebound": 1, "gone": 1}
    kinds = _kinds(space, "new = 2; rebound = 3; del gone", set())
    assert kinds == {"new": "added", "rebound": "changed", "gone": "removed"}


def test_a_container_that_grew_is_changed_though_it_is_not_mentioned() -> None:
    space: dict[str, Any] = {"rows": [1], "same": [1]}
    alias = space["rows"]
    taken = snapshot(space, set())
    alias.append(2)
    assert [entry["name"] for entry in changes(taken, space)] == ["rows"]


def test_an_item_replaced_in_a_mentioned_variable_is_seen() -> None:
    assert _kinds({"rows": [1, 2]}, "rows[0] = 9", {"rows"}) == {"rows": "changed"}


def test_nothing_is_reported_where_nothing_happened() -> None:
    space = {"text": "x" * 100, "rows": [1], "number": 5, "nan": float("nan")}
    assert _kinds(space, "rows[0]; number", {"rows", "number", "nan"}) == {}


def test_private_names_modules_and_helpers_are_left_out() -> None:
    assert _kinds({}, "import math; _x = 1; helper = 2; y = 3", set()) == {"y": "added"}
    space = {"math": math, "_": 1, "helper": 2, "y": 3}
    assert [entry["name"] for entry in summary(space, 9, frozenset({"helper"}))] == ["y"]


def test_a_key_that_is_no_name_is_ignored() -> None:
    space: dict[Any, Any] = {1: 2, "x": 3}
    assert [entry["name"] for entry in summary(space, 9)] == ["x"]


def test_changes_say_what_the_value_is_now() -> None:
    taken = snapshot({}, set())
    assert changes(taken, {"rows": ["a"]}) == [
        {"name": "rows", "kind": "added", "brief": "list 1 item: ['a']"}
    ]


def test_a_summary_is_limited_and_names_type_and_size() -> None:
    entries = summary({f"v{i}": [i] for i in range(10)}, 3)
    assert len(entries) == 3
    assert entries[0] == {
        "name": "v0", "type": "list", "size": "1 item", "brief": "list 1 item: [0]",
    }  # fmt: skip


def test_hostile_values_do_not_disturb_the_comparison() -> None:
    class Hostile(list[int]):
        def __len__(self) -> int:
            raise SystemExit

        __eq__ = __repr__ = __len__  # type: ignore[assignment]

    space: dict[str, Any] = {"x": Hostile([1])}
    taken = snapshot(space, {"x"})
    assert changes(taken, space) == []
    list.append(space["x"], 2)
    assert changes(taken, space)[0]["kind"] == "changed"


def test_ten_thousand_names_are_compared_quickly() -> None:
    space = {f"v{i}": [i] for i in range(10_000)}
    taken = []
    for _ in range(3):  # a collection of all that the other tests made may fall into one
        began = time.process_time()
        assert changes(snapshot(space, {"v1"}), space) == []
        taken.append(time.process_time() - began)
    # 20 ms is the promise; the rest is for a busy machine.
    assert min(taken) < 0.1
