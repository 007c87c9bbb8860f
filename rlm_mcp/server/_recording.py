"""What a call of a tool leaves in the record."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ..lm import SubModel, Usage
from ..loaders import public_form
from ..space import Execution
from ..trajectory import NOTHING, Recorded, Recorder, Span
from . import _arguments as args
from ._render import changes_text

_KINDS = {
    "exec_code": "execution",
    "load_variable": "load",
    "sub_llm": "ask",
    "sub_rlm": "sub_rlm",
    "save_variable": "save",
    "spaces": "spaces",
}
"""What is recorded, by the tool; others change nothing."""
_CHANGING = ("open", "fork", "undo", "checkpoint", "restore", "close")
"""Actions of `spaces` that are recorded. What is deleted leaves no record."""
_SHOWN = ("code", "prompt", "question")
"""Arguments that are texts of their own."""


class Recording:
    """One call of a tool, in the record from the moment in which its space is known.

    Args:
        recorder: keeps it; `None` to record nothing.
        tool: name of the tool.
        given: its arguments, checked.
        usage: what the call has spent so far on sub-LLM calls.
    """

    def __init__(
        self,
        recorder: Recorder | None = None,
        tool: str = "",
        given: object = None,
        usage: Callable[[], Usage] = Usage,
    ) -> None:
        self.span: Span = NOTHING
        """What the parts of the call are begun under."""
        self._recorder = recorder
        self._kind = _KINDS.get(tool)
        self._given = given
        self._usage = usage
        self._failed = False
        action = given.action if isinstance(given, args.SpacesCall) else None
        if action is not None and action not in _CHANGING:
            self._kind = None

    def under(self, span: Span, usage: Callable[[], Usage] | None = None) -> Recording:
        """What the parts of a part leave in the record: of a recursive run, or a step of it.

        Args:
            span: of the part.
            usage: what the part has spent so far; left out, what the call has.
        """
        part = Recording(usage=usage or self._usage)
        part.span = span
        return part

    def begin(self, handle: str) -> None:
        """Begin, if it has not begun: the call is about to work in a space."""
        if self._recorder is None or self._kind is None or self.span is not NOTHING:
            return
        given = dict(getattr(self._given, "__dict__", {}))
        given.pop("space", None)
        action = given.pop("action", None)
        shown = {name: given.pop(name, None) for name in _SHOWN}
        # An inline value may be large, and what it came to is in the reply.
        given.pop("value", None)
        if isinstance(source := given.get("source"), str):
            given["source"] = public_form(source)
        left = {name.rstrip("_"): value for name, value in given.items() if value is not None}
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            shown["arguments"] = json.dumps(left, ensure_ascii=False) if left else None
        self.span = self._recorder.begin(self._kind, handle, texts=shown, action=action)

    def model(self, model: SubModel) -> SubModel:
        """A model whose calls are recorded as parts of this."""
        return model if self.span is NOTHING else Recorded(model, self.span)

    def executed(self, execution: Execution) -> None:
        """Say what an execution came to."""
        if execution.lost is not None:
            status = "lost"
        else:
            status = execution.stopped or ("failed" if execution.error else "ok")
        output = execution.output
        left = execution.total - len(output) - len(execution.tail)
        output += f"\n[... {left:,} characters ...]\n" if left > 0 else ""
        output += execution.tail
        self.span.note(
            texts={
                "output": output or None,
                "value": execution.value,
                "error": execution.error or execution.lost,
                "changes": changes_text(execution) or None,
                "notes": "\n".join(execution.notes) or None,
            },
            number=execution.number,
            printed_chars=execution.total,
        )
        self._end(status)

    def replied(self, text: str, failed: bool) -> None:
        """Say what the reply was; an execution has said more already."""
        self.span.note(texts={"reply": text} if self._kind != "execution" else None)
        self._end("failed" if failed else "ok")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._spent()
            self.span.__exit__(kind, error, traceback)

    def _end(self, status: str) -> None:
        self._spent()
        self.span.end(status)

    def _spent(self) -> None:
        usage = self._usage()
        if usage.calls or usage.cached:
            note_usage(self.span, usage)


def note_usage(span: Span, usage: Usage) -> None:
    """Say what the sub-LLM calls of something used."""
    span.note(
        calls=usage.calls,
        failed_calls=usage.failed,
        cached_calls=usage.cached,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        usd=usage.usd,
    )
