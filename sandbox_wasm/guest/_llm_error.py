"""What a failed sub-LLM call is, and what calls have used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_MAX_NAMED = 5


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


def failed_of(results: list[Any]) -> dict[int, SubLLMError]:
    """The errors among results, by index."""
    return {i: result for i, result in enumerate(results) if isinstance(result, SubLLMError)}


def count_failed(failed: Mapping[int, SubLLMError], total: int) -> str:
    """How many failed, which, and why the first."""
    first = str(next(iter(failed.values()))).rstrip(".")
    shown = ", ".join(str(index) for index in list(failed)[:_MAX_NAMED])
    more = ", ..." if len(failed) > _MAX_NAMED else ""
    return f"{len(failed)} of {total} prompts failed (index {shown}{more}); the first: {first}."


def map_error(failed: dict[int, SubLLMError], results: list[Any]) -> SubLLMError:
    """The error of a map some of whose calls failed, with all that it came to."""
    first = next(iter(failed.values()))
    kept = len(results) - len(failed)
    spent = NOTHING
    for error in failed.values():
        spent = spent.plus(error.spent)
    message = (
        f"{count_failed(failed, len(results))} `.answers` of this error has the {kept} that "
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
