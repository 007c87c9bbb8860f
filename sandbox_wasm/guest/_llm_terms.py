"""What is asked for in a sub-LLM call beside its prompt, and how its answer is read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ._answer_make import Make, UnfitError
from ._answer_type import answer_type
from ._llm_error import Spent, SubLLMError


@dataclass(frozen=True)
class Terms:
    """What the requests of a call have in common."""

    schema: dict[str, Any] | None
    make: Make | None
    model: str | None
    max_tokens: int | None
    fresh: bool

    @classmethod
    def of(cls, schema: Any, model: Any, max_tokens: Any, fresh: Any) -> Terms:
        """Check the arguments of a call.

        Raises:
            TypeError: one is of the wrong type.
        """
        if max_tokens is not None:
            check_int("max_tokens", max_tokens)
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


def check_int(name: str, value: Any) -> None:
    """Raise `TypeError` or `ValueError` unless an argument is a whole number from 1 on."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
