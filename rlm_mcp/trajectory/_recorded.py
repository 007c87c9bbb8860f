"""The stage on the way to a model that records each call."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from ..errors import SubLLMError
from ..lm import Answer, Request, SubModel, Usage
from ._recorder import NOTHING, Span

_recorded: ContextVar[bool] = ContextVar("recorded", default=False)
"""Whether the call that is being made is in the record already."""


class Recorded:
    """A sub-model whose calls are recorded as parts of what asks; the outermost stage.

    A call that goes through several of these is recorded by the first: that of the run whose
    model is made of the model of what began it.

    Args:
        model: that answers.
        parent: what asks. Its end may come before that of a call that outlives it.
    """

    def __init__(self, model: SubModel, parent: Span) -> None:
        self._model = model
        self._parent = parent

    async def ask(self, request: Request) -> Answer:
        """Answer one request, or raise what the model raises."""
        if self._parent is NOTHING or _recorded.get():
            return await self._model.ask(request)
        span = self._begin(request)
        token = _recorded.set(True)
        try:
            answer = await self._model.ask(request)
        except SubLLMError as error:
            span.end(
                "failed",
                texts={"error": str(error)},
                error_kind=error.kind,
                model=error.model or None,
                input_tokens=error.input_tokens,
                output_tokens=error.output_tokens,
                usd=error.usd,
            )
            raise
        except asyncio.CancelledError:
            span.end("cancelled")
            raise
        except BaseException as error:
            # A fault of ours: its text is not written for users, and may hold anything.
            span.end("failed", error_kind=type(error).__name__)
            raise
        finally:
            _recorded.reset(token)
        used = Usage.of(answer)
        span.end(
            texts={"answer": answer.text},
            model=answer.model or None,
            cached=answer.cached,
            truncated=answer.truncated or None,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            usd=used.usd,
        )
        return answer

    async def estimate(self, request: Request) -> Usage:
        """What a request would use; not recorded."""
        return await self._model.estimate(request)

    async def aclose(self) -> None:
        """Close the model."""
        await self._model.aclose()

    def _begin(self, request: Request) -> Span:
        prompt = request.prompt
        history = "\n\n".join(f"{turn.role}: {turn.text}" for turn in prompt.history)
        return self._parent.begin(
            "sub_llm",
            texts={"system": prompt.system, "history": history or None, "prompt": prompt.text},
            model=request.model,
            max_tokens=request.max_tokens,
            schema=True if request.schema is not None else None,
            attachments=len(prompt.attachments) or None,
        )
