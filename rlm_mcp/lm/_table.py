"""What litellm's table knows about models, read without importing litellm.

Importing it takes seconds; its table is a JSON file of 3 MB in the package, read in 0.1 s.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from anyio import to_thread

_log = logging.getLogger(__name__)

_FILE = "model_prices_and_context_window_backup.json"
_STEP = re.compile(r"(input|output)_cost_per_token_above_(\d+)k_tokens")


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars for a token.

    Args:
        read: of the prompt.
        cached: of the prompt, where the provider knew it from before.
        written: of the answer.
        above: tokens of the prompt above which these hold.
    """

    read: float
    cached: float
    written: float
    above: int = 0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model.

    Args:
        window: the most tokens of a prompt, or 0 for unknown.
        longest: the most tokens of an answer, or 0 for unknown.
        images: whether it takes images.
        files: whether it takes PDFs.
        mode: by which API it is asked, such as `chat`; empty for unknown.
        prices: from the lowest step to the highest; empty for unknown.
    """

    window: int
    longest: int
    images: bool
    files: bool
    mode: str
    prices: tuple[Prices, ...]

    def usd(self, read: int, written: int, cached: int = 0) -> float | None:
        """What tokens cost, or `None` for unknown; `cached` are a part of `read`."""
        found = [price for price in self.prices if read > price.above or not price.above]
        if not found:
            return None
        price = found[-1]
        fresh = max(read - cached, 0)
        return fresh * price.read + cached * price.cached + written * price.written


class ModelTable:
    """Looks models up; the file is read at the first time, in a thread."""

    async def find(self, model: str) -> ModelInfo | None:
        """What is known of a model in litellm's notation, or `None`."""
        if _read.cache_info().currsize == 0:
            await to_thread.run_sync(_read)
        return find_in_table(model)


def find_in_table(model: str) -> ModelInfo | None:
    """The same, in the running thread."""
    table = _read()
    provider, slash, short = model.partition("/")
    if (found := table.get(model)) is not None:
        return found[1]
    found = table.get(short) if slash else None
    return found[1] if found is not None and found[0] == provider else None


@lru_cache(maxsize=1)
def _read() -> dict[str, tuple[str, ModelInfo]]:
    spec = importlib.util.find_spec("litellm")  # finds the package, and does not import it
    try:
        assert spec is not None
        assert spec.origin is not None
        entries = json.loads(Path(spec.origin).with_name(_FILE).read_bytes())
        return {
            name: (str(entry.get("litellm_provider", "")), _info(entry))
            for name, entry in entries.items()
            if isinstance(entry, dict)
        }
    except (AssertionError, OSError, ValueError, AttributeError):
        # Then windows and prices are unknown, which every user of them knows to say.
        _log.warning("litellm's table of models cannot be read", exc_info=True)
        return {}


def _info(entry: Mapping[str, Any]) -> ModelInfo:
    return ModelInfo(
        _whole(entry.get("max_input_tokens")),
        _whole(entry.get("max_output_tokens")),
        entry.get("supports_vision") is True,
        entry.get("supports_pdf_input") is True,
        str(entry.get("mode") or ""),
        tuple(_prices(entry)),
    )


def _prices(entry: Mapping[str, Any]) -> list[Prices]:
    read, written = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if not isinstance(read, int | float) or not isinstance(written, int | float):
        return []
    cached = entry.get("cache_read_input_token_cost")
    found = [Prices(read, cached if isinstance(cached, int | float) else read, written)]
    steps = {int(match[2]) for name in entry if (match := _STEP.fullmatch(name))}
    for step in sorted(steps):
        above = f"above_{step}k_tokens"
        dear = entry.get(f"input_cost_per_token_{above}") or read
        found.append(
            Prices(
                dear,
                entry.get(f"cache_read_input_token_cost_{above}") or dear,
                entry.get(f"output_cost_per_token_{above}") or written,
                step * 1000,
            )
        )
    return found


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
