"""Which commit an execution led to, and whether it was undone.

The record and the commits are written apart from each other, so this goes by number and time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..store import INTERRUPTED, RUNNING, SpaceRow, SpanRow, Step

_SET = {"load": "load ", "ask": "ask "}
"""What is committed beside executions: the kind of its span, and how the commit's label begins."""
_WITHIN_SECONDS = 60.0
"""After the end of what it keeps, in which a commit is made (a guess: it writes at most a few
GB, and begins at once)."""
_NOT_KEPT = (RUNNING, INTERRUPTED, "lost")


@dataclass(frozen=True, slots=True)
class Mark:
    """What became of the state that something led to.

    Args:
        commit: its number, or `None` where it is no longer kept.
        undone: whether the space went back to before it.
    """

    commit: int | None
    undone: bool

    @property
    def text(self) -> str:
        """In words."""
        words = [f"commit {self.commit}"] if self.commit is not None else []
        return ", ".join(words + ["undone"] * self.undone)


def marks_of(space: SpaceRow, steps: Sequence[Step], spans: Iterable[SpanRow]) -> dict[str, Mark]:
    """Find the commits of spans, by their ids; those of which nothing is known are left out.

    Args:
        space: that they belong to; others are passed over.
        steps: its commits, the newest first.
        spans: with their details.
    """
    marks: dict[str, Mark] = {}
    taken: set[int] = set()
    # Of two that may have led to a commit it was the later, so that one comes first.
    for span in sorted(spans, key=lambda span: span.started, reverse=True):
        if span.space != space.handle or span.status in _NOT_KEPT or span.seconds is None:
            continue
        if span.kind != "execution" and span.kind not in _SET:
            continue
        end = span.started + span.seconds
        fitting = (
            step
            for step in reversed(steps)
            if step.commit.id not in taken
            and span.started <= step.commit.created <= end + _WITHIN_SECONDS
            and _fits(span, step)
        )
        if (found := next(fitting, None)) is not None:
            taken.add(found.commit.id)
            marks[span.id] = Mark(found.commit.id, found.undone)
        elif span.kind == "execution" and _was_left(space, steps, span, end):
            marks[span.id] = Mark(None, True)
    return marks


def _fits(span: SpanRow, step: Step) -> bool:
    if span.kind in _SET:
        return step.commit.label.startswith(_SET[span.kind])
    return _is_execution(step) and step.commit.execution == span.detail.get("number")


def _is_execution(step: Step) -> bool:
    return not step.commit.label.startswith((*_SET.values(), "upgrade", "begin a run"))


def _was_left(space: SpaceRow, steps: Sequence[Step], span: SpanRow, end: float) -> bool:
    """Whether the space has gone back to before an execution whose commit is not kept."""
    number = span.detail.get("number")
    if not isinstance(number, int):
        return False
    # The head counts only once something has happened since: the commit may be under way.
    if space.head.execution < number and space.used > end and time.time() > end + _WITHIN_SECONDS:
        return True
    return any(
        step.commit.created > end
        and (
            step.commit.execution < number
            or (_is_execution(step) and step.commit.execution == number)
        )
        for step in steps
    )
