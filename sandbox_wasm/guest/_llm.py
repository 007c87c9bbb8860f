"""Sub-LLM calls as guest code sees them: functions that block, and one to be awaited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from . import _events, _in_flight, _prompt
from ._door import HostError
from ._json_form import is_frame
from ._llm_ask import ask_all, ask_each, estimate_of
from ._llm_error import SubLLMError
from ._llm_terms import Terms


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
    terms = Terms.of(schema, model, max_tokens, fresh)
    request = terms.request(_prompt.compose(prompt, context))
    if estimate:
        return estimate_of([request])
    (result,) = ask_each([request], 1, terms)
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
    terms = Terms.of(schema, model, max_tokens, fresh)
    request = terms.request(_prompt.compose(prompt, context))
    if estimate:
        return estimate_of([request])
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
    terms = Terms.of(schema, model, max_tokens, fresh)
    requests = [
        terms.request(_prompt.compose(prompt, name=f"prompts[{index}]"))
        for index, prompt in enumerate(prompts)
    ]
    if estimate:
        return estimate_of(requests)
    return ask_all(requests, concurrency, terms, raising=on_error == "raise")


llm_query = sub_llm
llm_query_batched = sub_llm_map
_events.asynchronous[sub_llm] = asub_llm
