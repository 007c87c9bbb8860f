"""Texts whose vectors are asked for, and the vectors as they are kept and sent.

A vector is kept as its direction, in whole numbers from -127 to 127: what counts is the angle
between two of them. The cosine between what is kept and the vector itself stays above 0.9999
(measured with 256 numbers), and it takes a quarter of the room.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from ._types import Answer, Prompt, Request, Usage, estimate_tokens

MAX_DIMENSIONS = 16_384
"""Numbers of a vector: four times the longest of litellm's table."""
_MOST = 127


@dataclass(frozen=True, slots=True)
class Texts(Request):
    """Texts whose vectors are asked for in one request; it takes the way of a question.

    Args:
        texts: none of them blank.
    """

    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vectors(Answer):
    """The answer to `Texts`.

    Args:
        vectors: their directions, one for each text, of one length.
    """

    vectors: tuple[bytes, ...] = ()


def ask_for(texts: Sequence[str], model: str, timeout_s: float) -> Texts:
    """Return the request for the vectors of texts; the record shows how many they are."""
    prompt = Prompt(f"[vectors of {len(texts)} texts, {sum(map(len, texts)):,} characters]")
    return Texts(prompt, model, timeout_s=timeout_s, texts=tuple(texts))


def tokens_of(texts: Sequence[str]) -> Usage:
    """Return what a request for the vectors of texts uses, at an unknown price."""
    return Usage(1, 0, sum(map(estimate_tokens, texts)), 0, None)


def direction(numbers: Sequence[float]) -> bytes:
    """Return the direction of a vector, a byte (signed) for each number.

    Raises:
        ValueError: it is empty, too long, or not all of it is a finite number.
    """
    if not 0 < len(numbers) <= MAX_DIMENSIONS:
        raise ValueError(f"a vector has {len(numbers):,} numbers")
    try:
        largest = max(map(abs, numbers))
        finite = math.isfinite(largest) and all(map(math.isfinite, numbers))
        if not finite:
            raise ValueError("a vector holds what is no finite number")
        scale = _MOST / largest if largest > 0 else 0.0
        if not math.isfinite(scale):  # so small that it has no direction
            scale = 0.0
        return array("b", [round(number * scale) for number in numbers]).tobytes()
    except TypeError:
        raise ValueError("a vector holds what is no number") from None
