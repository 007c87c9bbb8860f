"""Sub-LLM calls as guest code sees them: plain functions that block until the host answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from ._door import HostError, ask

MAX_CONTEXT_CHARS = 20_000_000  # the host refuses more than this in bytes; say it before sending
_MAX_NAMED = 5
_PLACE = re.compile(r"\{\{(.+?)\}\}")


class SubLLMError(Exception):
    """A sub-LLM call failed; the text says why and what to do.

    Attributes:
        kind: one of no_model, no_key, refused, rate_limit, context, schema, budget, timeout,
            connection, failed.
        provider: who was asked, or empty.
        model: which model was asked, or empty.
        failed: for a map, the error of each prompt that failed, by its index.
        answers: for a map, the answers that succeeded, and None where one failed.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "failed",
        provider: str = "",
        model: str = "",
        failed: dict[int, SubLLMError] | None = None,
        answers: list[Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.provider = provider
        self.model = model
        self.failed = failed if failed is not None else {}
        self.answers = answers if answers is not None else []

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from `args` alone, which lack what is keyword-only here.
        return (type(self), self.args, self.__dict__)


def sub_llm(
    prompt: str,
    *,
    context: Any = None,
    schema: dict[str, Any] | None = None,
    model: str | None = None,
    max_tokens: int | None = None,
) -> Any:
    """Ask the sub-LLM once and return its answer as text, or as data with `schema`.

    `context` is put below the prompt: text as it is, other values as JSON. `schema` is a JSON
    Schema that the answer is checked against. Raises `SubLLMError`.
    """
    if not isinstance(prompt, str):
        hint = "; for several prompts use sub_llm_map" if isinstance(prompt, list | tuple) else ""
        raise TypeError(f"prompt must be a str, not {type(prompt).__name__}{hint}")
    if context is not None:
        prompt = f"{prompt}\n\n<context>\n{_context_text(context)}\n</context>"
    (result,) = _ask([prompt], 1, schema, model, max_tokens)
    if isinstance(result, SubLLMError):
        raise result
    return result


def sub_llm_map(
    prompts: Iterable[str],
    *,
    concurrency: int = 16,
    schema: dict[str, Any] | None = None,
    model: str | None = None,
    max_tokens: int | None = None,
    on_error: Literal["raise", "return"] = "raise",
) -> list[Any]:
    """Ask the sub-LLM about every prompt at once; return the answers in the same order.

    When some fail, `on_error="raise"` raises one `SubLLMError` whose `.answers` hold what
    succeeded and whose `.failed` maps indexes to errors; `"return"` puts a `SubLLMError` object
    in the list instead.
    """
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Iterable):
        kind = type(prompts).__name__
        raise TypeError(f"prompts must be a list of str, not {kind}; for one prompt use sub_llm")
    if on_error not in ("raise", "return"):
        raise ValueError(f'on_error must be "raise" or "return", not {on_error!r}')
    asked = list(prompts)
    for index, prompt in enumerate(asked):
        if not isinstance(prompt, str):
            raise TypeError(f"prompts[{index}] must be a str, not {type(prompt).__name__}")
    results = _ask(asked, concurrency, schema, model, max_tokens) if asked else []
    failed = {
        index: result for index, result in enumerate(results) if isinstance(result, SubLLMError)
    }
    if failed and on_error == "raise":
        raise _map_error(failed, results)
    return results


def run_template(
    resolve: Callable[[str], Any], request: Mapping[str, Any], *, has_item: bool = False
) -> Any:
    """Ask what the `sub_llm` tool says: once, or with `over` once for each item of a variable.

    Args:
        resolve: gives the value of a name or access path.
        request: `prompt` with `{{name}}` and `{{item}}`, and `over`, `schema`, `model`,
            `max_tokens`, `concurrency`, all optional.
        has_item: whether there is a variable `item`.

    Raises:
        SubLLMError: a call failed; then there is no value, whatever the others answered.
    """
    prompt, over = request["prompt"], request.get("over")
    known: dict[str, str] = {}

    def fill(item: Any) -> str:
        def value_of(match: re.Match[str]) -> str:
            target = match[1].strip()
            if target == "item" and over is not None:
                return _context_text(item)
            if target == "item" and not has_item:
                raise SubLLMError("{{item}} stands for an item of `over`: name the list there")
            if target not in known:
                known[target] = _context_text(resolve(target))
            return known[target]

        return _PLACE.sub(value_of, prompt)

    arguments: dict[str, Any] = {
        name: request.get(name) for name in ("schema", "model", "max_tokens")
    }
    if over is None:
        return sub_llm(fill(None), **arguments)
    items = resolve(over)
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise SubLLMError(f"{over} is of type {type(items).__name__}: `over` wants a list")
    values = items.values() if isinstance(items, Mapping) else items
    prompts = [fill(item) for item in values]
    concurrency = request.get("concurrency") or 16
    answers = sub_llm_map(prompts, concurrency=concurrency, on_error="return", **arguments)
    failed = {i: answer for i, answer in enumerate(answers) if isinstance(answer, SubLLMError)}
    if failed:
        raise SubLLMError(
            f"{_count_failed(failed, len(answers))} Nothing was stored; in exec_code, "
            'sub_llm_map(prompts, on_error="return") keeps what succeeds.'
        )
    return answers


llm_query = sub_llm
llm_query_batched = sub_llm_map


def _ask(
    prompts: list[str],
    concurrency: int,
    schema: Any,
    model: str | None,
    max_tokens: int | None,
) -> list[Any]:
    _check_int("concurrency", concurrency)
    if max_tokens is not None:
        _check_int("max_tokens", max_tokens)
    if model is not None and not isinstance(model, str):
        raise TypeError(f"model must be a str, not {type(model).__name__}")
    json_schema = _schema_of(schema)
    requests = [
        {"prompt": prompt, "model": model, "max_tokens": max_tokens, "schema": json_schema}
        for prompt in prompts
    ]
    try:
        results = ask("sub_llm", requests=requests, concurrency=concurrency)["results"]
    except HostError as error:
        raise SubLLMError(str(error), model=model or "") from None
    if len(results) != len(prompts):
        raise SubLLMError(f"{len(results)} answers came back for {len(prompts)} prompts")
    return [_read(result, with_data=json_schema is not None) for result in results]


def _read(result: dict[str, Any], *, with_data: bool) -> Any:
    error = result.get("error")
    if error is not None:
        return SubLLMError(
            error["message"], kind=error["kind"], provider=error["provider"], model=error["model"]
        )
    return result["data"] if with_data else result["text"]


def _schema_of(schema: Any) -> dict[str, Any] | None:
    """Return the JSON Schema that a `schema` argument stands for."""
    if schema is None or isinstance(schema, dict):
        return schema
    raise TypeError(f"schema must be a dict with a JSON Schema, not {_type_name(schema)}")


def _type_name(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def _context_text(context: Any) -> str:
    if isinstance(context, str):
        text = context
    elif isinstance(context, bytes | bytearray):
        raise TypeError("context is bytes; decode it first: context.decode()")
    else:
        try:
            text = json.dumps(context, ensure_ascii=False, indent=1)
        except (TypeError, ValueError, RecursionError):
            text = str(context)
    if len(text) > MAX_CONTEXT_CHARS:
        raise ValueError(
            f"context has {len(text):,} characters; at most {MAX_CONTEXT_CHARS:,} fit in one "
            "call: split it and use sub_llm_map"
        )
    return text


def _check_int(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")


def _count_failed(failed: Mapping[int, SubLLMError], total: int) -> str:
    first = str(next(iter(failed.values()))).rstrip(".")
    shown = ", ".join(str(index) for index in list(failed)[:_MAX_NAMED])
    more = ", ..." if len(failed) > _MAX_NAMED else ""
    return f"{len(failed)} of {total} prompts failed (index {shown}{more}); the first: {first}."


def _map_error(failed: dict[int, SubLLMError], results: list[Any]) -> SubLLMError:
    first = next(iter(failed.values()))
    kept = len(results) - len(failed)
    message = (
        f"{_count_failed(failed, len(results))} `.answers` of this error has the {kept} that "
        'succeeded, `.failed` the errors; on_error="return" gives both in one list.'
    )
    answers = [None if index in failed else result for index, result in enumerate(results)]
    return SubLLMError(
        message,
        kind=first.kind,
        provider=first.provider,
        model=first.model,
        failed=failed,
        answers=answers,
    )
