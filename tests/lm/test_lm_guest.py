"""The guest's functions, run natively on a door that the test answers."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "sandbox_wasm" / "guest"
Host = Callable[[dict[str, Any]], dict[str, Any]]


class Door:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Host = lambda fields: {
            "results": [
                {
                    "text": asked["prompt"].upper(),
                    "data": {"n": 1},
                    "model": "m",
                    "spent": [1, 2, 0.5],
                }
                for asked in fields["requests"]
            ]
        }

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        assert op in ("sub_llm", "sub_llm_estimate")
        self.asked.append(fields)
        return self.answer(fields)


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def llm(door: Door) -> Iterator[Any]:
    package, fake = ModuleType("native_guest"), ModuleType("native_guest._door")
    package.__path__ = [str(FOLDER)]
    vars(fake).update(ask=door.ask, HostError=type("HostError", (Exception,), {}))
    sys.modules.update({"native_guest": package, "native_guest._door": fake})
    yield importlib.import_module("native_guest._llm")
    for name in [name for name in sys.modules if name.partition(".")[0] == "native_guest"]:
        del sys.modules[name]


@pytest.fixture
def run_template(llm: Any) -> Any:
    return importlib.import_module(f"{llm.__package__}._llm_template").run_template


def fail_at(*indexes: int) -> Host:
    def answer(fields: dict[str, Any]) -> dict[str, Any]:
        error = {"kind": "rate_limit", "provider": "p", "model": "m", "message": "too fast."}
        return {
            "results": [
                {"error": error, "spent": [3, 4, None]}
                if index in indexes
                else {"text": asked["prompt"], "data": None, "spent": [1, 1, 0.0]}
                for index, asked in enumerate(fields["requests"])
            ]
        }

    return answer


def test_a_call_sends_one_request_and_returns_text(llm: Any, door: Door) -> None:
    assert llm.sub_llm("hello", model="a/b", max_tokens=5) == "HELLO"
    request = {"prompt": "hello", "model": "a/b", "max_tokens": 5, "schema": None}
    assert door.asked == [{"requests": [request], "concurrency": 1}]


def test_context_comes_after_the_prompt_as_text_or_json(llm: Any, door: Door) -> None:
    llm.sub_llm("Sum up.", context="a text")
    llm.sub_llm("Sum up.", context={"é": [1]})
    llm.sub_llm("Sum up.", context={1, 2})
    first, second, third = (fields["requests"][0]["prompt"] for fields in door.asked)
    assert first == "Sum up.\n\n<context>\na text\n</context>"
    assert '{\n "é": [\n  1\n ]\n}' in second
    assert "[\n 1,\n 2\n]" in third


def test_with_a_schema_the_data_comes_back(llm: Any) -> None:
    assert llm.sub_llm("count", schema={"type": "object"}) == {"n": 1}
    assert llm.llm_query_batched(["a", "b"], schema={}) == [{"n": 1}, {"n": 1}]


def test_a_map_takes_any_iterable_keeps_order_and_asks_once(llm: Any, door: Door) -> None:
    assert llm.sub_llm_map((letter for letter in "abc"), concurrency=4) == ["A", "B", "C"]
    assert len(door.asked) == 1
    assert door.asked[0]["concurrency"] == 4
    assert llm.sub_llm_map([]) == []


def test_a_failed_map_raises_with_everything_that_succeeded(llm: Any, door: Door) -> None:
    door.answer = fail_at(1)
    with pytest.raises(llm.SubLLMError, match=r"1 of 3 prompts failed.*too fast") as caught:
        llm.sub_llm_map(["a", "b", "c"])
    error = caught.value
    assert error.answers == ["a", None, "c"]
    assert (error.kind, error.provider, error.model) == ("rate_limit", "p", "m")
    assert list(error.failed) == [1]


def test_errors_can_be_returned_in_place_and_are_never_text(llm: Any, door: Door) -> None:
    door.answer = fail_at(0)
    first, second = llm.sub_llm_map(["a", "b"], on_error="return")
    assert isinstance(first, llm.SubLLMError)
    assert second == "b"
    with pytest.raises(llm.SubLLMError, match="too fast"):
        llm.sub_llm("a")


def test_a_refusal_of_the_host_is_a_sub_llm_error(llm: Any, door: Door) -> None:
    def refuse(fields: dict[str, Any]) -> dict[str, Any]:
        raise sys.modules["native_guest._door"].HostError("prompt 0 is empty")

    door.answer = refuse
    with pytest.raises(llm.SubLLMError, match="prompt 0 is empty"):
        llm.sub_llm("")


def test_an_error_survives_pickling(llm: Any) -> None:
    error = llm.SubLLMError("no", kind="refused", answers=[1])
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(again), again.kind, again.answers) == ("no", "refused", [1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda llm: llm.sub_llm(3), "prompt must be a str, not int"),
        (lambda llm: llm.sub_llm(["a"]), "use sub_llm_map"),
        (lambda llm: llm.sub_llm_map("abc"), "for one prompt use sub_llm"),
        (lambda llm: llm.sub_llm_map(["a", 1]), r"prompts\[1\] must be a str, not int"),
        (lambda llm: llm.sub_llm("a", schema=bytes), "schema: bytes cannot be the type"),
        (lambda llm: llm.sub_llm("a", context=b"x"), "decode it first"),
        (lambda llm: llm.sub_llm("a", max_tokens="5"), "max_tokens must be an int"),
        (lambda llm: llm.sub_llm_map(["a"], concurrency=True), "concurrency must be an int"),
        (lambda llm: llm.sub_llm_map(["a"], on_error="x"), "on_error"),
    ],
)
def test_a_wrong_argument_is_named(llm: Any, call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call(llm)


def test_a_context_that_is_too_large_is_refused_with_its_size(llm: Any, door: Door) -> None:
    llm._prompt.MAX_CONTEXT_CHARS = 10
    with pytest.raises(ValueError, match="context has 11 characters; at most 10"):
        llm.sub_llm("a", context="x" * 11)
    assert door.asked == []


def test_a_template_fills_in_variables_and_items(llm: Any, run_template: Any, door: Door) -> None:
    space = {"rule": "Be brief.", "chunks": ["one {{rule}}", "two"]}
    request = {"prompt": "{{rule}} {{ item }}", "over": "chunks"}
    answers = run_template(space.__getitem__, request)
    assert answers == ["BE BRIEF. ONE {{RULE}}", "BE BRIEF. TWO"]
    assert run_template(space.__getitem__, {"prompt": "{{rule}}"}) == "BE BRIEF."
    with pytest.raises(llm.SubLLMError, match="`over` wants a list"):
        run_template(space.__getitem__, {"prompt": "x", "over": "rule"})
