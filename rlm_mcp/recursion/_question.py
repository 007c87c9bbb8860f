"""What a recursive run is asked, and the bounds of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from ..errors import BadRequestError
from ..lm import NO_BUDGET, Budget, UnusableSchemaError, check_schema, is_model_name

MAX_ITERATIONS = 200
MAX_LLM_CALLS = 10_000
MAX_QUESTION = 100_000
"""Characters: what is longer is material, and belongs into a variable."""


@dataclass(frozen=True)
class RunQuestion:
    """What a run is to find out.

    Args:
        text: the question.
        schema: a JSON Schema that the answer must fit.
        model: the root model, in litellm's notation; left out, the default of who answers.
        max_iterations: how often the root model may run code.
        max_llm_calls: calls of models in all, those of the root model, of runs below and tries
            included.
        names: the variables that it is about, `None` for all.
        budget: what it may use besides; seconds from its beginning on.
    """

    text: str
    schema: dict[str, Any] | None = None
    model: str | None = None
    max_iterations: int = 20
    max_llm_calls: int = 50
    names: tuple[str, ...] | None = None
    budget: Budget = NO_BUDGET

    async def check(self) -> None:
        """See whether it can be asked; guest code may have made it.

        Raises:
            BadRequestError: it cannot.
        """
        if not isinstance(self.text, str) or not self.text.strip():
            raise BadRequestError("the question is empty")
        if len(self.text) > MAX_QUESTION:
            raise BadRequestError(
                f"the question has {len(self.text):,} characters, at most {MAX_QUESTION:,}: put "
                "the material into a variable, and ask about that"
            )
        if not self.text.isascii():
            try:
                self.text.encode()
            except UnicodeEncodeError as error:
                raise BadRequestError(
                    f"the question holds a lone surrogate at {error.start}, which no model can "
                    'read: mend it with text.encode("utf-8", "replace").decode()'
                ) from None
        _check_count("max_iterations", self.max_iterations, MAX_ITERATIONS)
        _check_count("max_llm_calls", self.max_llm_calls, MAX_LLM_CALLS)
        if self.model is not None and not (
            isinstance(self.model, str) and is_model_name(self.model)
        ):
            raise BadRequestError(f"this is not a model's name: {str(self.model)[:100]!r}")
        if self.schema is not None:
            if not isinstance(self.schema, dict):
                raise BadRequestError("the schema must be an object: a JSON Schema")
            try:
                await anyio.to_thread.run_sync(check_schema, self.schema)
            except UnusableSchemaError as error:
                raise BadRequestError(str(error)) from None


def _check_count(name: str, value: object, most: int) -> None:
    if type(value) is not int or not 1 <= value <= most:
        raise BadRequestError(
            f"{name} must be a whole number from 1 to {most:,}, not {str(value)[:40]}"
        )
