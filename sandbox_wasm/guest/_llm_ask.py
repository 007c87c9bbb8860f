"""Requests to the sub-LLM, sent to the server in as many messages as they need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ._door import HostError, ask
from ._llm_error import SubLLMError, failed_of, map_error
from ._llm_terms import Terms, check_int

MAX_PROMPTS = 10_000
"""In one map; the server takes no more in one message."""
MAX_SENT = 50_000_000
"""Bytes of prompts in one message to the server, as they are estimated: it may have 64 MB. What is
more goes in several, one after the other."""


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


def ask_all(
    requests: list[dict[str, Any]], concurrency: int, terms: Terms, *, raising: bool
) -> list[Any]:
    """Ask requests; if `raising`, one `SubLLMError` is raised for all that failed."""
    results = ask_each(requests, concurrency, terms) if requests else []
    if raising and (failed := failed_of(results)):
        raise map_error(failed, results)
    return results


def ask_each(requests: list[dict[str, Any]], concurrency: int, terms: Terms) -> list[Any]:
    """Ask requests; the answers, in order, with a `SubLLMError` for each that failed.

    Raises:
        SubLLMError: nothing could be asked.
    """
    check_int("concurrency", concurrency)
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


def estimate_of(requests: list[dict[str, Any]]) -> Estimate:
    """What requests would use; nothing is asked."""
    total = Estimate(0, 0, 0, 0, 0.0)
    try:
        for part in _messages(requests):
            found = Estimate(**ask("sub_llm_estimate", requests=part)["estimate"])
            total = total.plus(found)
    except HostError as error:
        raise SubLLMError(str(error)) from None
    return total
