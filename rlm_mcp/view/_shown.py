"""Parts of calls as pages show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..store import RUNNING, SpanRow
from ..trajectory import TEXTS, facts_of, label_of, title_of
from ._marks import Mark
from ._tree import SUB_LLM, Part
from ._words import moment, without_texts

LABEL_CHARS = 160
"""Of the line that tells a call from others."""
_NAMES = {SUB_LLM: "sub-LLM call", "sub_rlm": "recursive run", "ask": "sub-LLM calls"}
_BAD = ("failed", "lost", "timeout")


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a span.

    Args:
        name: what it is.
        text: as much as is shown; `None` where it is not in the record or not to be shown.
        chars: of the whole text, as it was.
        more: whether more of it can be had.
    """

    name: str
    text: str | None
    chars: int
    more: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A part of a call as a page shows it.

    Args:
        id: of its span.
        space: where it happened.
        title: what happened.
        status: what became of it.
        tone: how that is coloured: `good`, `bad`, `running` or `other`.
        started: in words.
        facts: time, model, tokens, price.
        label: the first line of what it was asked to do.
        mark: the commit that it led to, in words, or empty.
        undone: whether that was taken back.
        bar: where it began and how long it took, in percent of the whole; `None` of the whole.
        texts: of it.
        fork: the space of a recursive run, or `None`.
        parts: of it that are shown.
        counted: its sub-LLM calls that are not, by status.
        left: how many other parts are not.
    """

    id: str
    space: str
    title: str
    status: str
    tone: str
    started: str
    facts: Sequence[str]
    label: str
    mark: str
    undone: bool
    bar: tuple[str, str] | None
    texts: Sequence[Text]
    fork: str | None
    parts: Sequence[Shown]
    counted: Mapping[str, int]
    left: int


@dataclass(frozen=True, slots=True)
class Manner:
    """How parts are shown.

    Args:
        chars: of each text; `None` for all.
        texts: whether to show texts at all, or only how long they were.
    """

    chars: int | None
    texts: bool

    def show(self, part: Part, marks: Mapping[str, Mark], whole: SpanRow | None = None) -> Shown:
        """A part and those below it.

        Args:
            part: with the details of its spans.
            marks: the commits that spans led to, by their ids.
            whole: what bars are relative to; left out, the part itself.
        """
        span = part.span if self.texts else self._stripped(part.span)
        mark = marks.get(span.id)
        fork = span.detail.get("fork")
        return Shown(
            id=span.id,
            space=span.space,
            title=_title(span),
            status=span.status,
            tone=_tone(span.status),
            started=moment(span.started),
            facts=[_known(span, fact) for fact in facts_of(span)],
            label=label_of(span)[:LABEL_CHARS],
            mark=mark.text if mark is not None else "",
            undone=mark is not None and mark.undone,
            bar=_bar(span, whole) if whole is not None else None,
            texts=self.texts_of(span),
            fork=fork if span.kind == "sub_rlm" and isinstance(fork, str) else None,
            parts=[self.show(below, marks, whole or _ended(part)) for below in part.parts],
            counted=part.counted,
            left=part.left,
        )

    def texts_of(self, span: SpanRow) -> list[Text]:
        """The texts of a span, as far as they are shown."""
        found = []
        for name in TEXTS:
            text, chars = span.detail.get(name), span.detail.get(f"{name}_chars")
            if not isinstance(text, str):
                if isinstance(chars, int):
                    found.append(Text(name, None, chars, more=False))
                continue
            cut = self.chars is not None and len(text) > self.chars
            length = chars if isinstance(chars, int) else len(text)
            found.append(Text(name, text[: self.chars] if cut else text, length, more=cut))
        return found

    def _stripped(self, span: SpanRow) -> SpanRow:
        return replace(span, detail=without_texts(span.detail))


def _title(span: SpanRow) -> str:
    name = _NAMES.get(span.kind)
    return title_of(span) if name is None else name


def _known(span: SpanRow, fact: str) -> str:
    return "known, not paid for" if span.kind == SUB_LLM and fact == "cached" else fact


def _tone(status: str) -> str:
    return {"ok": "good", RUNNING: "running"}.get(status, "bad" if status in _BAD else "other")


def _ended(part: Part) -> SpanRow:
    """A span with how long it took so far, by what is known of its parts."""
    span = part.span
    if span.seconds is not None:
        return span
    ends = [below.span.started + (below.span.seconds or 0.0) for below in part.all()]
    return replace(span, seconds=max(ends) - span.started)


def _bar(span: SpanRow, whole: SpanRow) -> tuple[str, str]:
    length = max(whole.seconds or 0.0, 1e-6)
    begin = min(max((span.started - whole.started) / length, 0.0), 1.0)
    seconds = span.seconds if span.seconds is not None else length
    width = min(max(seconds / length, 0.002), 1.0 - begin)
    return f"{begin * 100:.2f}", f"{max(width, 0.002) * 100:.2f}"
