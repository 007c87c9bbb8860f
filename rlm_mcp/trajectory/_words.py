"""Spans in words, alike on the command line and in a browser.

The words hold texts of guests and models as they are; who shows them makes them harmless.
"""

from __future__ import annotations

from typing import Any

from ..quantities import counted, seconds_text
from ..store import SpanRow

TEXTS = (
    "code", "question", "system", "history", "prompt", "arguments", "output", "value", "changes",
    "notes", "error", "answer", "reply",
)  # fmt: skip
"""The texts that a span may have, in the order in which they are read."""
_ASKED = ("code", "question", "prompt", "arguments")
_SUMS = ("calls", "cached_calls", "failed_calls")


def title_of(span: SpanRow) -> str:
    """What happened in a word or two: `execution 3`, `spaces undo`."""
    name = span.kind if span.kind != "spaces" else f"spaces {span.detail.get('action', '')}"
    return f"{name} {span.detail['number']}" if "number" in span.detail else name


def facts_of(span: SpanRow) -> list[str]:
    """What is known of a span beside its texts: time, model, calls, tokens, price."""
    detail = span.detail
    facts = [seconds_text(span.seconds)] if span.seconds is not None else []
    if span.kind == "sub_llm":
        facts.append(str(detail.get("model", "")))
        facts.append("cached" if detail.get("cached") else "")
        facts.append(str(detail.get("error_kind", "")))
    calls, cached, failed = (_number(detail.get(name)) for name in _SUMS)
    if calls or cached:
        facts.append(counted(calls, "call"))
        facts.append(f"{cached:,} cached" if cached else "")
        facts.append(f"{failed:,} failed" if failed else "")
    if span.kind == "sub_rlm" and isinstance(fork := detail.get("fork"), str):
        ended = detail.get("ended")
        facts.append(f"space {fork}")
        facts.append(str(ended) if ended != "submitted" else "")
    usd = detail.get("usd")
    facts += spent_texts(
        _number(detail.get("input_tokens")),
        _number(detail.get("output_tokens")),
        usd if isinstance(usd, int | float) else None,
    )
    return [fact for fact in facts if fact]


def spent_texts(read: int, written: int, usd: float | None) -> list[str]:
    """Tokens and their price; nothing where there are none."""
    tokens = read + written
    if not tokens:
        return []
    price = "price unknown" if usd is None else f"${usd:,.4f}" if usd < 1 else f"${usd:,.2f}"
    return [f"{_short(tokens)} tokens", price]


def label_of(span: SpanRow) -> str:
    """What tells a span from others of its kind: the first line of what it was asked to do."""
    detail = span.detail
    # What a change of a space came to says more than what it was given.
    for name in ("reply", *_ASKED) if span.kind == "spaces" else _ASKED:
        if isinstance(text := detail.get(name), str):
            telling = _telling(text) if name in ("code", "prompt") else text
            return next((line.strip() for line in telling.splitlines() if line.strip()), "")
    for name in _ASKED[:3]:
        if chars := _number(detail.get(f"{name}_chars")):
            return f"({name}: {chars:,} characters)"
    return ""


def _telling(text: str) -> str:
    """Text from the first line on that is not the same in many."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.strip() and not line.startswith(("import ", "from ", "Question:")):
            return "\n".join(lines[number:])
    return text


def _number(found: Any) -> int:
    return found if isinstance(found, int) else 0


def _short(number: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)
