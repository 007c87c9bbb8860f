"""The arguments of each tool, and mistakes in them put into words."""

from __future__ import annotations

import json
import keyword
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import BadRequestError
from ..lm import Budget
from ..loaders import Format
from ..recursion import MAX_ITERATIONS, MAX_LLM_CALLS
from ._half_characters import half_in

MAX_REPLY_CHARS = 20_000
DEFAULT_REPLY_CHARS = 8_000
MAX_ANSWERS = 10_000
"""In one call of `answer_sub_llm`: as many as one map may ask for."""

SaveFormat = Literal[
    "auto", "text", "bytes", "json", "jsonl", "csv", "tsv", "md", "html", "xlsx", "png", "svg",
    "parquet", "arrow",
]  # fmt: skip
SpaceName = Annotated[str | None, Field(description="the space; left out: this session's")]
MaxChars = Annotated[
    int, Field(ge=200, le=MAX_REPLY_CHARS, description="length of the reply, at most 20,000")
]
Spend = Annotated[
    dict[
        Literal["calls", "tokens", "input_tokens", "output_tokens", "usd", "seconds"],
        Annotated[float, Field(gt=0)],
    ]
    | None,
    Field(description='the most its sub-LLM calls may use, such as {"calls": 100, "usd": 0.5}'),
]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    space: SpaceName = None


class LoadVariable(_Arguments):
    """Arguments of `load_variable`."""

    name: Annotated[str, Field(description="the variable to set")]
    source: Annotated[
        str | None,
        Field(
            description="file, folder, glob (`src/**/*.py`), http(s) URL, space:OTHER/NAME, or "
            "command:NAME?param=value (declared in the settings)"
        ),
    ] = None
    value: Annotated[Any, Field(description="instead of a source: text, or any JSON value")] = None
    format: Annotated[
        Format,
        Field(
            description="auto goes by the content and the name: tables become DataFrames, PDF a "
            "list of pages, documents text; folder: an archive with its binary files; view: a "
            "file that stays outside"
        ),
    ] = "auto"
    pattern: Annotated[
        str | None,
        Field(description="of a folder or an archive only these files, such as `*.py`"),
    ] = None


class ExecCode(_Arguments):
    """Arguments of `exec_code`."""

    code: Annotated[str, Field(description="Python")]
    timeout_s: Annotated[
        float, Field(gt=0, le=3600, description="seconds for the code; sub-LLM calls not counted")
    ] = 120
    max_chars: MaxChars = DEFAULT_REPLY_CHARS
    budget: Spend = None


class Peek(_Arguments):
    """Arguments of `peek`."""

    target: Annotated[
        str, Field(description='a variable or access path: docs["a.py"], rows[3]["text"], Out[2]')
    ]
    start: Annotated[int, Field(description="first unit; negative counts from the end")] = 0
    length: Annotated[int | None, Field(description="how many units")] = None
    unit: Literal["chars", "lines", "items"] = "chars"
    find: Annotated[str | None, Field(description="regular expression to look for")] = None
    context: Annotated[int, Field(ge=0, le=50, description="lines around each match")] = 2
    max_chars: MaxChars = DEFAULT_REPLY_CHARS


class SubLLM(_Arguments):
    """Arguments of `sub_llm`."""

    prompt: Annotated[
        str, Field(description="{{name}} stands for a variable or access path, {{item}} see over")
    ]
    into: Annotated[str, Field(description="the variable that takes the answer")]
    over: Annotated[
        str | None,
        Field(description='a list or table: one call for each item, {{item}} or {{item["key"]}}'),
    ] = None
    schema_: Annotated[
        dict[str, Any] | None,
        Field(alias="schema", description="JSON Schema: answers come back as checked data"),
    ] = None
    model: Annotated[str | None, Field(description="another model than the configured one")] = None
    concurrency: Annotated[int | None, Field(ge=1, le=256)] = None
    max_tokens: Annotated[int | None, Field(ge=1, description="of each answer")] = None
    budget: Spend = None


def _by_id(given: object) -> object:
    """Answers as a dict, also where a client sends them as text or as a list of pairs."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise ValueError("give an object: question id -> answer") from None
    if isinstance(given, list):
        if not all(isinstance(item, dict) and {"id", "answer"} == item.keys() for item in given):
            raise ValueError('in a list each item is {"id": ..., "answer": ...}')
        found = {str(item["id"]): item["answer"] for item in given}
        if len(found) < len(given):
            raise ValueError("an id stands twice in the list")
        given = found
    if isinstance(given, dict) and len(given) > MAX_ANSWERS:
        raise ValueError(f"{len(given):,} answers; at most {MAX_ANSWERS:,} in one call")
    return given


class AnswerSubLLM(_Arguments):
    """Arguments of `answer_sub_llm`."""

    answers: Annotated[
        dict[str, Any],
        BeforeValidator(_by_id),
        Field(description="question id -> answer: text, or JSON where a schema is asked for"),
    ]
    cancel: Annotated[bool, Field(description="end the code that asks instead")] = False


class SubRLM(_Arguments):
    """Arguments of `sub_rlm`."""

    question: Annotated[str, Field(description="what to find out, and the form of the answer")]
    variables: Annotated[
        list[str] | None, Field(description="names that it is about; left out: all")
    ] = None
    into: Annotated[str | None, Field(description="the variable that takes the answer")] = None
    schema_: Annotated[
        dict[str, Any] | None, Field(alias="schema", description="JSON Schema of the answer")
    ] = None
    max_iterations: Annotated[int, Field(ge=1, le=MAX_ITERATIONS)] = 20
    max_llm_calls: Annotated[
        int, Field(ge=1, le=MAX_LLM_CALLS, description="in all, the root model's own included")
    ] = 50
    model: Annotated[str | None, Field(description="another root model")] = None
    budget: Spend = None


class SaveVariable(_Arguments):
    """Arguments of `save_variable`."""

    name: Annotated[str, Field(description="a variable or access path")]
    path: Annotated[str, Field(description="the file to write")]
    format: Annotated[
        SaveFormat,
        Field(description="auto goes by the file's ending"),
    ] = "auto"
    overwrite: Annotated[bool, Field(description="replace the file if it exists")] = False


class SpacesCall(_Arguments):
    """Arguments of `spaces`."""

    action: Literal[
        "list", "info", "open", "fork", "undo", "checkpoint", "restore", "close", "delete"
    ] = "list"
    name: Annotated[
        str | None, Field(description="open, fork: the new space; checkpoint, restore: the state")
    ] = None
    commit: Annotated[
        int | None, Field(description="restore, fork: a commit from info's history")
    ] = None


_Model = TypeVar("_Model", bound=BaseModel)


def read_arguments(model: type[_Model], arguments: dict[str, Any]) -> _Model:
    """Check the arguments of a call.

    Raises:
        BadRequestError: they do not fit; the text names each mistake and the arguments there are.
    """
    for name, value in arguments.items():
        if (place := half_in([name, value])) is not None:
            shown = name[:80].encode("utf-8", "replace").decode()
            raise BadRequestError(
                f"`{shown}` holds half of a surrogate pair at character {place:,}, "
                "which is not text that can be stored; leave it out, or write it as an escape"
            )
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        mistakes = []
        for problem in error.errors(include_url=False, include_context=False)[:5]:
            where = ".".join(str(part) for part in problem["loc"]) or "arguments"
            if "[key]" in problem["loc"]:
                owner, _, key = where.removesuffix(".[key]").rpartition(".")
                right = problem["msg"].removeprefix("Input should be ")
                mistakes.append(f"`{owner}` has no `{key[:80]}`; it may have {right}")
            elif problem["type"] == "extra_forbidden":
                mistakes.append(f"there is no argument `{where[:80]}`")
            elif problem["type"] == "missing":
                mistakes.append(f"`{where}` is missing")
            else:
                mistakes.append(f"`{where}`: {problem['msg'].removeprefix('Value error, ')}")
        names = ", ".join(field.alias or name for name, field in model.model_fields.items())
        raise BadRequestError(f"{'; '.join(mistakes)}. Arguments: {names}") from None


def budget_of(given: BaseModel) -> Budget:
    """The budget that a call was given for itself.

    Raises:
        BadRequestError: it cannot be one.
    """
    try:
        return Budget.of(getattr(given, "budget", None) or {})
    except ValueError as error:
        raise BadRequestError(f"`budget`: {error}") from None


def check_name(name: str, what: str = "a variable") -> str:
    """A name that can be a variable's.

    Raises:
        BadRequestError: it cannot.
    """
    shown = repr(name[:80])
    if not name.isidentifier() or keyword.iskeyword(name):
        suggestion = "".join(c if c.isalnum() or c == "_" else "_" for c in name[:40]).strip("_")
        if keyword.iskeyword(suggestion):
            suggestion += "_"
        elif suggestion and not suggestion.isidentifier():
            suggestion = f"v_{suggestion}"
        hint = f", such as {suggestion}" if suggestion.isidentifier() else ""
        raise BadRequestError(
            f"{shown} cannot be the name of {what}: use letters, digits and `_`{hint}"
        )
    if name.startswith("_") or name in ("Out", "In"):
        raise BadRequestError(f"{shown} is a private name; choose one without `_` in front")
    return name
