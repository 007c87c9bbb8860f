"""The tool `sub_llm`: a prompt with places for variables, asked once or for each of their items."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import _path, _prompt
from ._json_form import is_frame, records
from ._llm_ask import MAX_PROMPTS, ask_all, ask_each
from ._llm_error import SubLLMError, count_failed, failed_of
from ._llm_terms import Terms

_PLACE = re.compile(r"\{\{(.+?)\}\}")
_ITEM = re.compile(r"item\b")
_BRACES = ". Braces that are meant as text need a blank between them: { {"


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

    terms = Terms.of(
        request.get("schema"), request.get("model"), request.get("max_tokens"), fresh=False
    )
    if over is None:
        (answer,) = ask_each([terms.request(fill(None, 0))], 1, terms)
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
    answers = ask_all(requests, request.get("concurrency") or 16, terms, raising=False)
    if failed := failed_of(answers):
        raise SubLLMError(
            f"{count_failed(failed, len(answers))} Nothing was stored. The other answers are "
            "known now: the same call again asks only what failed; or, in exec_code, "
            'sub_llm_map(prompts, on_error="return") keeps what succeeds.'
        )
    return answers


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
