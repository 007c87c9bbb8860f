"""Sub-LLM calls as guest code sees them: functions that block, and one to be awaited."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from . import _events, _in_flight, _path, _prompt
from ._answer_make import Make, UnfitError
from ._answer_type import answer_type
from ._door import HostError, ask
from ._json_form import is_frame, records

MAX_PROMPTS = 10_000
"""In one map; the server takes no more in one message."""
MAX_SENT = 50_000_000
"""Bytes of prompts in one message to the server, as they are estimated: it may have 64 MB. What is
more goes in several, one after the other."""
_MAX_NAMED = 5
_PLACE = re.compile(r"\{\{(.+?)\}\}")
_ITEM = re.compile(r"item\b")
_BRACES = ". Braces that are meant as text need a blank between them: { {"


class Spent(NamedTuple):
    """What calls have used: tokens, and US dollars or None where a price is unknown."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0

    def plus(self, other: Spent) -> Spent:
        """Both together."""
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        tokens = self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens
        return Spent(*tokens, usd)


NOTHING = Spent()


@dataclass(frozen=True)
class Estimate:
    """What calls would use at most, before any is made.

    Args:
        calls: that would be made.
        cached: answers that are known from before and cost nothing.
        input_tokens: about.
        output_tokens: at most.
        usd: at most, or None where a price is unknown.
    """

    calls: int
    cached: int
    input_tokens: int
    output_tokens: int
    usd: float | None

    def plus(self, other: Estimate) -> Estimate:
        """Both together."""
        return Estimate(
            self.calls + other.calls,
            self.cached + other.cached,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if self.usd is None or other.usd is None else self.usd + other.usd,
        )


class SubLLMError(Exception):
    """A sub-LLM call failed; the text says why and what to do.

    Attributes:
        kind: one of no_model, no_key, refused, rate_limit, context, schema, budget, timeout,
            connection, failed.
        provider: who was asked, or empty.
        model: which model was asked, or empty.
        spent: in vain: `input_tokens`, `output_tokens`, and `usd`, None if the price is unknown.
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
        spent: Spent = NOTHING,
        failed: dict[int, SubLLMError] | None = None,
        answers: list[Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.provider = provider
        self.model = model
        self.spent = spent
        self.failed = failed if failed is not None else {}
        self.answers = answers if answers is not None else []

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from `args` alone, which lack what is keyword-only here.
        return (type(self), self.args, self.__dict__)


def sub_llm(
    prompt: str | list[str | bytes],
    *,
    context: Any = None,
    schema: Any = None,
    model: str | None = None,
    max_tokens: int | None = None,
    fresh: bool = False,
    estimate: bool = False,
) -> Any:
    """Ask the sub-LLM once and return its answer as text, or as data with `schema`.

    Args:
        prompt: text, or a list of texts and of bytes that hold an image or a PDF.
        context: put below the prompt: text as it is, an image as an image, other values as JSON.
        schema: what the answer must be: a JSON Schema, or a type such as a dataclass, TypedDict,
            Enum, `list[Item]`, `Literal["a", "b"]`; the answer is then checked and of that type.
        model: another than the configured one.
        max_tokens: of the answer.
        fresh: ask even if the answer is known from before.
        estimate: ask nothing, return what it would use.

    Raises:
        SubLLMError: the call failed.
    """
    terms = _Terms.of(schema, model, max_tokens, fresh)
    request = terms.request(_prompt.compose(prompt, context))
    if estimate:
        return _estimate([request])
    (result,) = _ask([request], 1, terms)
    if isinstance(result, SubLLMError):
        raise result
    return result


async def asub_llm(
    prompt: str | list[str | bytes],
    *,
    context: Any = None,
    schema: Any = None,
    model: str | None = None,
    max_tokens: int | None = None,
    fresh: bool = False,
    estimate: bool = False,
) -> Any:
    """Do what `sub_llm` does, to be awaited: under `asyncio.gather` calls are made together.

    Any number may be begun; the server makes 100 at a time. Cancelling the task that waits ends
    the call.
    """
    terms = _Terms.of(schema, model, max_tokens, fresh)
    request = terms.request(_prompt.compose(prompt, context))
    if estimate:
        return _estimate([request])
    try:
        result = terms.read(await _in_flight.calls().ask(request))
    except HostError as error:
        raise SubLLMError(str(error), model=model or "") from None
    if isinstance(result, SubLLMError):
        raise result
    return result


def sub_llm_map(
    prompts: Iterable[str | list[str | bytes]],
    *,
    concurrency: int = 16,
    schema: Any = None,
    model: str | None = None,
    max_tokens: int | None = None,
    on_error: Literal["raise", "return"] = "raise",
    fresh: bool = False,
    estimate: bool = False,
) -> Any:
    """Ask the sub-LLM about every prompt at once; return the answers in the same order.

    When some fail, `on_error="raise"` raises one `SubLLMError` whose `.answers` hold what
    succeeded and whose `.failed` maps indexes to errors; `"return"` puts a `SubLLMError` object
    in the list instead. The other arguments are those of `sub_llm`.
    """
    if is_frame(prompts) and hasattr(prompts, "columns"):
        raise TypeError("prompts is a DataFrame; pass a column of it, such as df['prompt']")
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Iterable):
        kind = type(prompts).__name__
        raise TypeError(f"prompts must be a list of str, not {kind}; for one prompt use sub_llm")
    if on_error not in ("raise", "return"):
        raise ValueError(f'on_error must be "raise" or "return", not {on_error!r}')
    terms = _Terms.of(schema, model, max_tokens, fresh)
    requests = [
        terms.request(_prompt.compose(prompt, name=f"prompts[{index}]"))
        for index, prompt in enumerate(prompts)
    ]
    if estimate:
        return _estimate(requests)
    return _ask_all(requests, concurrency, terms, raising=on_error == "raise")


def run_template(
    resolve: Callable[[str], Any], request: Mapping[str, Any], *, has_item: bool = False
) -> Any:
    """Ask what the `sub_llm` tool says: once, or with `over` once for each item of a variable.

    Args:
        resolve: gives the value of a name or access path.
        request: `prompt` with `{{name}}`, `{{item}}` and `{{item["key"]}}`, and `over`, `schema`,
            `model`, `max_tokens`, `concurrency`, all optional.
        has_item: whether there is a variable `item`.

    Raises:
        SubLLMError: a call failed; then there is no value, whatever the others answered.
    """
    prompt, over = request["prompt"], request.get("over")
    known: dict[str, Any] = {}

    def part_of(value: Any) -> Any:
        return value if _prompt.is_attachment(value) else _prompt.text_of(value)

    def fill(item: Any, index: int) -> dict[str, Any]:
        parts: list[Any] = []
        end = 0
        for match in _PLACE.finditer(prompt):
            target = match[1].strip()
            of_item = _ITEM.match(target) is not None
            if of_item and over is None and not has_item:
                raise SubLLMError("{{item}} stands for an item of `over`: name the list there")
            parts.append(prompt[end : match.start()])
            end = match.end()
            if of_item and over is not None:
                parts.append(part_of(_part_of_item(target, item, f"{over}, item {index}")))
                continue
            if target not in known:
                try:
                    known[target] = part_of(resolve(target))
                except _path.PeekError as error:
                    raise SubLLMError(f"{match[0][:80]} in the prompt: {error}{_BRACES}") from None
            parts.append(known[target])
        return _prompt.join([*parts, prompt[end:]], between="")

    terms = _Terms.of(
        request.get("schema"), request.get("model"), request.get("max_tokens"), fresh=False
    )
    if over is None:
        (answer,) = _ask([terms.request(fill(None, 0))], 1, terms)
        if isinstance(answer, SubLLMError):
            raise answer
        return answer
    items = resolve(over)
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise SubLLMError(f"{over} is of type {type(items).__name__}: `over` wants a list")
    values = _rows(items)
    requests = []
    for index, item in enumerate(values):
        if index == MAX_PROMPTS:
            raise SubLLMError(f"{over} has over {MAX_PROMPTS:,} items: put several into one prompt")
        requests.append(terms.request(fill(item, index)))
    answers = _ask_all(requests, request.get("concurrency") or 16, terms, raising=False)
    if failed := _failed(answers):
        raise SubLLMError(
            f"{_count_failed(failed, len(answers))} Nothing was stored. The other answers are "
            "known now: the same call again asks only what failed; or, in exec_code, "
            'sub_llm_map(prompts, on_error="return") keeps what succeeds.'
        )
    return answers


llm_query = sub_llm
llm_query_batched = sub_llm_map
_events.asynchronous[sub_llm] = asub_llm


@dataclass(frozen=True)
class _Terms:
    """What the requests of a call have in common."""

    schema: dict[str, Any] | None
    make: Make | None
    model: str | None
    max_tokens: int | None
    fresh: bool

    @classmethod
    def of(cls, schema: Any, model: Any, max_tokens: Any, fresh: Any) -> _Terms:
        """Check the arguments of a call.

        Raises:
            TypeError: one is of the wrong type.
        """
        if max_tokens is not None:
            _check_int("max_tokens", max_tokens)
        if model is not None and not isinstance(model, str):
            raise TypeError(f"model must be a str, not {type(model).__name__}")
        if not isinstance(fresh, bool):
            raise TypeError(f"fresh must be a bool, not {type(fresh).__name__}")
        if schema is None or isinstance(schema, dict):
            return cls(schema, None, model, max_tokens, fresh)
        try:
            found = _known_type(schema)
        except TypeError:
            found = None
        if found is None:  # not hashable, or not a type: then this says so
            found = answer_type(schema)
        return cls(found.schema, found.make, model, max_tokens, fresh)

    def request(self, composed: dict[str, Any]) -> dict[str, Any]:
        """A request for the server."""
        common = {"model": self.model, "max_tokens": self.max_tokens, "schema": self.schema}
        return {**composed, **common, **({"fresh": True} if self.fresh else {})}

    def read(self, result: dict[str, Any]) -> Any:
        """What the server says of a request: an answer, or an error as an object."""
        error = result.get("error")
        spent = Spent(*result["spent"])
        if error is not None:
            return SubLLMError(
                error["message"], kind=error["kind"], provider=error["provider"],
                model=error["model"], spent=spent,
            )  # fmt: skip
        if self.schema is None:
            return result["text"]
        if self.make is None:
            return result["data"]
        try:
            return self.make(result["data"])
        except (UnfitError, RecursionError) as problem:
            made = SubLLMError(
                f"the answer fits the schema, but not the type: {problem}. Loosen the type, or say "
                "in the prompt what is meant.",
                kind="schema", model=result["model"], spent=spent,
            )  # fmt: skip
            made.__cause__ = problem.__cause__
            return made


_known_type = lru_cache(maxsize=16)(answer_type)  # a gather reads the same type a thousand times


def forget_types() -> None:
    """Read types anew: a class that one refers to by its name may be another by now."""
    if _known_type.cache_info().currsize:
        _known_type.cache_clear()


def _ask_all(
    requests: list[dict[str, Any]], concurrency: int, terms: _Terms, *, raising: bool
) -> list[Any]:
    results = _ask(requests, concurrency, terms) if requests else []
    if raising and (failed := _failed(results)):
        raise _map_error(failed, results)
    return results


def _part_of_item(target: str, item: Any, place: str) -> Any:
    if target == "item":
        return item
    try:
        return _path.resolve(target, {"item": item})
    except _path.PeekError as error:
        raise SubLLMError(f"{{{{{target}}}}} at {place}: {error}") from None


def _rows(items: Any) -> Iterable[Any]:
    """What a list, the values of a dict or the rows of a table are, one by one."""
    if is_frame(items):
        return records(items)
    return items.values() if isinstance(items, Mapping) else items


def _ask(requests: list[dict[str, Any]], concurrency: int, terms: _Terms) -> list[Any]:
    _check_int("concurrency", concurrency)
    if len(requests) > MAX_PROMPTS:
        raise SubLLMError(
            f"{len(requests):,} prompts in one call; at most {MAX_PROMPTS:,}: put several pieces "
            "into one prompt, or ask in several calls"
        )
    results: list[Any] = []
    try:
        for part in _messages(requests):
            of = {"before": len(results), "total": len(requests)}
            of = of if len(part) < len(requests) else {}
            found = ask("sub_llm", requests=part, concurrency=concurrency, **of)
            results += found["results"]
            while "rest" in found:  # the answers fit no single message either
                found = ask("sub_llm_rest", rest=found["rest"])
                results += found["results"]
    except HostError as error:
        raise SubLLMError(str(error), model=terms.model or "") from None
    if len(results) != len(requests):
        raise SubLLMError(f"{len(results)} answers came back for {len(requests)} prompts")
    return [terms.read(result) for result in results]


def _messages(requests: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Requests in as many messages as they need."""
    part: list[dict[str, Any]] = []
    room = MAX_SENT
    for request in requests:
        prompt = request["prompt"]
        # Of JSON: six bytes for a character beyond ASCII; quotes and ends of lines take two.
        size = len(prompt) * (2 if prompt.isascii() else 6)
        size += sum(len(attached["data"]) for attached in request.get("attachments", ()))
        if part and size > room:
            yield part
            part, room = [], MAX_SENT
        part.append(request)
        room -= size
    yield part


def _estimate(requests: list[dict[str, Any]]) -> Estimate:
    total = Estimate(0, 0, 0, 0, 0.0)
    try:
        for part in _messages(requests):
            found = Estimate(**ask("sub_llm_estimate", requests=part)["estimate"])
            total = total.plus(found)
    except HostError as error:
        raise SubLLMError(str(error)) from None
    return total


def _failed(results: list[Any]) -> dict[int, SubLLMError]:
    return {i: result for i, result in enumerate(results) if isinstance(result, SubLLMError)}


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
    spent = NOTHING
    for error in failed.values():
        spent = spent.plus(error.spent)
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
        spent=spent,
        failed=failed,
        answers=answers,
    )
