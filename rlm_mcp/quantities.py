"""Quantities as text, alike in replies and on the command line."""

from __future__ import annotations

import time


def counted(number: int, noun: str) -> str:
    """A number of things: `1 space`, `2,000 spaces`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_text(size: int) -> str:
    """A number of bytes: `12 KB`, `1,024 MB`."""
    return f"{size / 1024:,.0f} KB" if size < 1 << 20 else f"{size / (1 << 20):,.0f} MB"


def seconds_text(seconds: float) -> str:
    """A duration: `12 ms`, `3.4 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


def ago_text(moment: float) -> str:
    """How long ago a moment was, which is given in seconds since the epoch: `5 min ago`."""
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def price_text(usd: float | None) -> str:
    """US dollars: `$0.0312`; `price unknown` for `None`."""
    return "price unknown" if usd is None else f"${usd:.4f}"
