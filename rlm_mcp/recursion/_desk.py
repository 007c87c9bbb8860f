"""Where a run hands in its answer."""

from __future__ import annotations

from typing import Any

import anyio.to_thread

from ..lm import SchemaMismatchError, UnusableSchemaError, read_data
from ..sandbox import Answerer

SUBMIT = "submit"
NOT_HERE = (
    "SUBMIT hands in the answer of a recursive run, and this is none: leave the value in a "
    "variable, or print it"
)
_MAX_CHARS = 30 << 20


class Desk:
    """Takes the answer of one run; the value itself stays in the guest.

    Args:
        schema: that it must fit.
    """

    def __init__(self, schema: dict[str, Any] | None) -> None:
        self.taken = False
        """Whether an answer was handed in that can be taken."""
        self._schema = schema

    def before(self, answer: Answerer) -> Answerer:
        """Answers what the guest asks: what is handed in here, all else as before."""

        async def answer_all(fields: dict[str, Any]) -> dict[str, Any]:
            if fields.get("op") != SUBMIT:
                return await answer(fields)
            return await self._take(fields.get("text"))

        return answer_all

    async def _take(self, text: object) -> dict[str, Any]:
        if text is None:  # the guest asks what is wanted
            return {"schema": self._schema is not None}
        if self._schema is not None:
            if not isinstance(text, str) or len(text) > _MAX_CHARS:
                return {"refused": "the answer is over 30 MB: submit less"}
            try:
                await anyio.to_thread.run_sync(read_data, text, self._schema)
            except SchemaMismatchError as error:
                return {"refused": f"the answer does not fit the schema: {error}"}
            except UnusableSchemaError as error:
                return {"refused": str(error)}
        self.taken = True
        return {}
