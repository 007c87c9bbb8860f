"""What is shown, in words: dates, states, and texts in which nothing is hidden."""

from __future__ import annotations

import time
from typing import Any

from ..trajectory import TEXTS

_HARMLESS = "\n\t\u00a0\u3000"


def visible(text: str) -> str:
    """Text in which control characters, invisible ones and those that change direction are
    escapes, so that it is what it seems to be."""
    text = text.replace("\r\n", "\n")
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return "".join(
        c if c.isprintable() or c in _HARMLESS else c.encode("unicode_escape").decode()
        for c in text
    )


def shown(value: Any) -> Any:
    """Whatever is put into a page: text made visible, all else as it is."""
    return visible(value) if type(value) is str else value


def moment(seconds: float) -> str:
    """A time of this machine's clock, given in seconds since 1970."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "at no time"


def without_texts(detail: dict[str, Any]) -> dict[str, Any]:
    """What is known of a span without what may be private; lengths stay."""
    return {name: value for name, value in detail.items() if name not in TEXTS}
