"""What is reserved for calls in flight, or is to be."""

from __future__ import annotations

from dataclasses import dataclass

from ..store import Spending
from ._types import Usage


@dataclass(slots=True)
class Held:
    """Of one call or of many; `usd` is None where the price of a call is unknown."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0

    @classmethod
    def of(cls, need: Usage) -> Held:
        """For one call that may use this."""
        return cls(1, need.input_tokens, need.output_tokens, need.usd)

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.input_tokens + self.output_tokens

    def as_spent(self, sign: int = 1) -> Spending:
        """As if it had been used, or with -1 as if that were taken back."""
        usd = sign * (self.usd or 0.0)
        return Spending(
            sign * self.calls, 0, 0, sign * self.input_tokens, sign * self.output_tokens, usd
        )

    def add(self, other: Held, sign: int = 1) -> None:
        """Hold this as well, or with -1 no more."""
        self.calls += sign * other.calls
        self.input_tokens += sign * other.input_tokens
        self.output_tokens += sign * other.output_tokens
        self.usd = (self.usd or 0.0) + sign * (other.usd or 0.0)
