"""Recursion as guest code sees it: another model works on a fork of this space, and submits.

Values go from one guest to the other as pickles that the server passes on and never reads. What
both spaces have from before the fork, classes above all, is referred to by its name, so that an
instance that comes back is one of the class that is here.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import datetime
import json
import pickle
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, NoReturn

from . import _copy, _door, _parallel, _preview, _variables
from ._answer_make import Make, UnfitError
from ._answer_type import answer_type
from ._bulk import Input
from ._llm_error import Spent, SubLLMError

MAX_BYTES = 30 << 20
"""Of what is passed to a run, and of its answer: each travels in one message."""
ANSWER = "submitted"
"""The variable of a run's space that holds its answer."""
_PREVIEWS, _PREVIEW_CHARS, _LISTED = 8, 700, 60
_MAIN: dict[str, Any] = sys.modules["__main__"].__dict__

# Changed in place only: names of this module are put back after each turn.
_inherited: dict[str, Any] = {}


class SubmitError(ValueError):
    """An answer cannot be taken; the text says why. The run goes on."""


class Submitted(BaseException):
    """Ends the execution that submitted an answer."""


def sub_rlm(
    question: str,
    *,
    schema: Any = None,
    model: str | None = None,
    max_iterations: int = 20,
    max_llm_calls: int = 50,
    budget: dict[str, float] | None = None,
    **variables: Any,
) -> Any:
    """Let another model answer a question on a fork of this space; return what it submits.

    It sees all variables as this execution found them, without a copy, and works as you do: it
    writes code, is shown what that printed, and calls `SUBMIT(answer)`. What it does leaves this
    space untouched. Variables that this execution made are passed by keyword.

    Args:
        question: what to find out, and in which form to answer.
        schema: what the answer must be: a JSON Schema, or a type such as a dataclass or
            `list[Item]`, as for `sub_llm`.
        model: the model to ask; left out, the configured root model.
        max_iterations: how often it may run code.
        max_llm_calls: calls of models in all, its own included.
        budget: what it may use besides, such as `{"usd": 0.5, "seconds": 600}`.
        variables: for the fork; picklable, at most 30 MB together.

    Raises:
        SubLLMError: no answer was reached; the text names the fork, which is kept.
    """
    if not isinstance(question, str):
        raise TypeError(f"question must be a str, not {type(question).__name__}")
    if budget is not None and not isinstance(budget, dict):
        raise TypeError(
            f'budget must be a dict such as {{"usd": 0.5}}, not {type(budget).__name__}; pass a '
            "variable of that name under another"
        )
    made: dict[str, Any] = dict(variables)
    for value in variables.values():
        made.update(pair for pair in _parallel.made_now(value) if pair[0] not in made)
    sent = ""
    if made:
        try:
            data = _parallel.dumps(made, "a variable for sub_rlm", _parallel.at_start())
        except _parallel.PmapError as error:
            raise SubLLMError(str(error)) from None
        if len(data) > MAX_BYTES:
            raise SubLLMError(
                f"the variables for sub_rlm have {len(data):,} bytes, at most 30 MB can be passed: "
                "put them into variables in an earlier execution; the fork sees those as they are"
            )
        sent = base64.b64encode(data).decode()
    wanted, make = _form(schema)
    try:
        answer = _door.ask(
            "sub_rlm",
            question=question,
            schema=wanted,
            model=model,
            max_iterations=max_iterations,
            max_llm_calls=max_llm_calls,
            budget=budget,
            names=list(variables) or None,
            variables=sent,
        )
    except _door.HostError as error:
        raise SubLLMError(str(error), model=model or "") from None
    if "error" in answer:
        failure = answer["error"]
        raise SubLLMError(
            failure["message"],
            kind=failure["kind"],
            provider=failure["provider"],
            model=failure["model"],
            spent=Spent(*failure["spent"]),
        )
    if answer["note"]:
        print(f"[{answer['note']}]")  # noqa: T201 - the caller should know what the value is
    try:
        value = pickle.loads(base64.b64decode(answer["value"]))  # noqa: S301 - in the sandbox
    except Exception as error:
        raise SubLLMError(
            f"the answer cannot be read in this space ({type(error).__name__}: {str(error)[:200]})"
        ) from None
    try:
        return value if make is None else make(value)
    except UnfitError as error:
        raise SubLLMError(
            f"the answer fits the schema, but not the type: {error}", kind="schema"
        ) from None


def _form(schema: Any) -> tuple[dict[str, Any] | None, Make | None]:
    """The JSON Schema of an answer, and what makes a value of the wanted type of it."""
    if schema is None or isinstance(schema, dict):
        return schema, None
    found = answer_type(schema)
    return found.schema, found.make


def submit(*values: Any, **fields: Any) -> NoReturn:
    """Hand in the answer of a run and end the execution; works only in a run of `sub_rlm`.

    One value is the answer; several are a tuple, keywords a dict.

    Raises:
        SubmitError: the answer is empty, does not fit the schema or cannot be pickled.
    """
    if _parallel.in_fork():
        raise SubmitError("SUBMIT does not work inside pmap: return the value and submit it after")
    if values and fields:
        raise SubmitError("SUBMIT takes one value, or keywords that become a dict, not both")
    value: Any = fields or (values[0] if len(values) == 1 else values)
    try:
        wanted = _door.ask("submit")
    except _door.HostError as error:
        raise SubmitError(str(error)) from None
    if wanted.get("schema"):
        text = _json(value)
        value = json.loads(text)
        _hand_in(text)
    else:
        _check(value)
        _hand_in("")
    _MAIN[ANSWER] = value
    raise Submitted


def final_var(name: Any) -> NoReturn:
    """Submit the variable of a name, as `SUBMIT(variable)` does."""
    if isinstance(name, str):
        if name not in _MAIN:
            known = [name for name, _ in _variables.visible(_MAIN, frozenset({"Out"}))]
            there = ", ".join(known[:_LISTED]) or "none"
            raise SubmitError(f"there is no variable {name[:80]!r}; there are: {there}")
        name = _MAIN[name]
    submit(name)


def _hand_in(text: str) -> None:
    try:
        _door.ask("submit", text=text)
    except _door.HostError as error:
        raise SubmitError(str(error)) from None


def _check(value: Any) -> None:
    nothing = type(value) is tuple and not value
    if value is None or nothing or (isinstance(value, str) and not value.strip()):
        raise SubmitError(
            "the answer is empty; submit a value, or a sentence that says why there is none"
        )
    try:
        size = len(answer_pickled(value))
    except _copy.CopyError as error:
        raise SubmitError(f"{error}; submit plain values such as text, numbers, dicts") from None
    if size > MAX_BYTES:
        raise SubmitError(f"the answer has {size:,} bytes, at most 30 MB can be submitted")


def _json(value: Any) -> str:
    def plain(item: Any) -> Any:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return dataclasses.asdict(item)
        if hasattr(item, "tolist"):  # numbers and arrays of numpy
            return item.tolist()
        if isinstance(item, set | frozenset):
            return list(item)
        if isinstance(item, datetime.date | datetime.time):
            return item.isoformat()
        raise TypeError(f"a {type(item).__name__} is no value of JSON")

    try:
        return json.dumps(value, default=plain, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SubmitError(
            f"the answer must be JSON that fits the schema, and this is not JSON: {error}"
        ) from None


def answer_pickled(value: Any) -> bytes:
    """A value of a run's space for the space that it was forked from.

    Raises:
        CopyError: it cannot be pickled.
    """
    return _copy.pickled(value, _inherited)


def begin(request: dict[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    """In the fork: take the variables that were passed, and describe what there is."""
    shared = {
        name: value
        for name, value in _MAIN.items()
        if type(name) is str and isinstance(value, type | FunctionType)
    }
    _inherited.clear()
    _inherited.update(shared)
    names = request["names"]
    if request["size"]:
        try:
            passed = _copy.read(Input(request["size"]))
        except _copy.CopyError as error:
            return {"refused": str(error)}
        for name in passed:
            if name in hidden:
                return {"refused": f"`{name}` is the name of a helper; pass it under another name"}
        _MAIN.update(passed)
    known = dict(_variables.visible(_MAIN, hidden))
    if names is None:
        shown = known
    else:
        missing = [name for name in names if name not in _MAIN]
        if missing:
            there = ", ".join(list(known)[:_LISTED]) or "none"
            return {"refused": f"there is no variable {missing[0][:80]!r}; there are: {there}"}
        shown = {name: _MAIN[name] for name in names}
    return {"preview": _described(shown, known, hidden)}


def _described(shown: dict[str, Any], known: dict[str, Any], hidden: frozenset[str]) -> str:
    """The variables in question at length, the others in a line each."""
    first = dict(list(shown.items())[:_PREVIEWS])
    parts = [f"{name}: {_preview.preview(value, _PREVIEW_CHARS)}" for name, value in first.items()]
    rest = [
        f"{entry['name']}: {entry['brief']}"
        for entry in _variables.summary(_MAIN, _LISTED, hidden | first.keys())
    ]
    if rest:
        parts += ["Also there:"] if first else []
        parts += rest
    left = len(known.keys() | first.keys()) - len(first) - len(rest)
    if left > 0:
        parts.append(f"({left} more: show_vars())")
    return "\n".join(parts) or "none"


def ended_by_submit(error: BaseException) -> bool:
    """Whether an exception only ends code that has submitted its answer."""
    if isinstance(error, Submitted):
        return True
    if isinstance(error, BaseExceptionGroup):  # of a task group
        with contextlib.suppress(Exception):
            return error.subgroup(Submitted) is not None
    return False


HELPERS: dict[str, Callable[..., Any]] = {
    "sub_rlm": sub_rlm,
    "rlm_query": sub_rlm,
    "SUBMIT": submit,
    "FINAL": submit,
    "FINAL_VAR": final_var,
}
