"""The most that may be used: of one sub-LLM call, an execution, a run, a space."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..quantities import counted

KINDS = ("calls", "tokens", "input_tokens", "output_tokens", "usd", "seconds")
_COUNTS = KINDS[:4]


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be used; `None` is without a bound.

    Args:
        calls: requests that are sent to a model, tries included.
        tokens: read and written.
        usd: US dollars.
        seconds: from a beginning on, or that calls take together: see `Account.adds_up`.
        input_tokens: that are read.
        output_tokens: that are written.
    """

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None

    @classmethod
    def of(cls, found: Mapping[str, object]) -> Budget:
        """Read a budget that somebody wrote.

        Args:
            found: numbers above 0 by their kind, such as `{"calls": 100, "usd": 0.5}`.

        Raises:
            ValueError: it is none; the text says why.
        """
        numbers: dict[str, float] = {}
        for kind, most in found.items():
            if kind not in KINDS:
                known = ", ".join(KINDS)
                raise ValueError(f"there is no budget of {str(kind)[:40]!r}; there are {known}")
            whole = kind in _COUNTS
            if (
                not isinstance(most, int | float)
                or isinstance(most, bool)
                or not 0 < most < math.inf
                or (whole and most != int(most))
            ):
                raise ValueError(
                    f"the budget of {kind} must be a {'whole ' * whole}number above 0, not "
                    f"{str(most)[:40]}"
                )
            numbers[kind] = most
        return cls.made(numbers)

    @classmethod
    def made(cls, numbers: Mapping[str, float]) -> Budget:
        """Make a budget of numbers by their kind."""
        counts = {kind: int(numbers[kind]) for kind in _COUNTS if kind in numbers}
        return cls(
            counts.get("calls"), counts.get("tokens"), numbers.get("usd"), numbers.get("seconds"),
            counts.get("input_tokens"), counts.get("output_tokens"),
        )  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read a budget such as `usd=0.5, seconds=600`.

        Raises:
            ValueError: it is none; the text says why.
        """
        found: dict[str, object] = {}
        for part in re.split(r"[,\s]+", text.strip()):
            kind, equals, most = part.partition("=")
            if not equals or kind in found:
                raise ValueError(f"a budget is written usd=0.5,seconds=600, not {text[:80]!r}")
            try:
                found[kind] = float(most)
            except ValueError:
                found[kind] = most
        return cls.of(found)

    @property
    def words(self) -> list[str]:
        """What it bounds: `["5 calls", "1 token", "$0.5000"]`."""
        words = []
        for kind in _COUNTS:
            if (most := getattr(self, kind)) is not None:
                words.append(counted(most, kind.replace("_", " ").removesuffix("s")))
        if self.usd is not None:
            words.append(f"${self.usd:.4f}")
        if (seconds := self.seconds) is not None:
            words.append(f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.3g} s")
        return words


NO_BUDGET = Budget()


def tightest(*named: tuple[Budget, str]) -> tuple[Budget, dict[str, str]]:
    """The least of several budgets, kind by kind.

    Args:
        named: each with what raises it, in which `{}` stands for the kind.

    Returns:
        The budget, and for each kind what raises it.
    """
    least: dict[str, float] = {}
    raised_by: dict[str, str] = {}
    for budget, name in named:
        for kind in KINDS:
            most = getattr(budget, kind)
            if most is not None and most < least.get(kind, math.inf):
                least[kind] = most
                raised_by[kind] = name.format(kind)
    return Budget.made(least), raised_by
