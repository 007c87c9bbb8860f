"""What spaces are configured with and what they return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

WAITS = frozenset({"sub_llm", "sub_llm_wait", "sub_llm_estimate", "sub_rlm", "embed_wait"})
"""Operations in which guest code waits for a model, so that its deadline stands still. The first
estimate may wait for the tables of prices to be loaded."""


class Suspension(Protocol):
    """Why a space can do nothing for now: its code waits for its own caller."""

    @property
    def waits(self) -> bool:
        """Whether that is still so."""
        ...

    def brief(self) -> str:
        """What it waits for, in some words."""
        ...

    def refusal(self) -> str:
        """What a caller is told that wants something else of it."""
        ...


@dataclass(frozen=True)
class Limits:
    """What bounds a space and all of them together.

    Args:
        memory_mb: the most that one space's memory may grow to, in MiB; at most 4096.
        running: how many spaces may have a worker at once; the least recently used gives way.
        spaces: how many may exist.
        timeout_s: the longest time that an execution may ask for, in seconds.
        history: how many commits of a space are kept.
        history_mb: how many MiB of commits of a space are kept.
        sync: whether a reply waits until its commit survives the loss of power.
        view_mb: MiB of a file above which it stays outside, as a view; half of `memory_mb` if
            that is less.
    """

    memory_mb: int = 2048
    running: int = 4
    spaces: int = 1000
    timeout_s: float = 3600.0
    history: int = 100
    history_mb: int = 2048
    sync: bool = False
    view_mb: int = 256

    @property
    def view_bytes(self) -> int:
        """Bytes of a file above which it becomes a view."""
        return min(self.view_mb, self.memory_mb // 2) << 20


@dataclass(frozen=True)
class Change:
    """A variable that an execution added, changed or removed.

    Args:
        name: of the variable.
        kind: `added`, `changed` or `removed`.
        brief: its value in one line; empty when removed.
    """

    name: str
    kind: str
    brief: str


@dataclass(frozen=True)
class Execution:
    """What an execution came to.

    Args:
        number: counted in its space, from 1.
        seconds: it took.
        output: the beginning of what it printed.
        tail: the end, if that is not all in `output`.
        total: characters that it printed.
        value: the last expression's value, or `None`.
        error: the traceback, or `None`.
        stopped: `timeout` or `cancelled` if it was stopped and its variables were kept.
        lost: why its effects were lost, or `None`: the space is back at its last commit.
        changes: of variables.
        notes: what else the caller should know.
        saved: whether its commit is in the store already.
        images: PNG files that it showed.
    """

    number: int
    seconds: float
    output: str = ""
    tail: str = ""
    total: int = 0
    value: str | None = None
    error: str | None = None
    stopped: str | None = None
    lost: str | None = None
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = field(default=())
    saved: bool = False
    images: tuple[bytes, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the caller should take it as an error."""
        return bool(self.error or self.stopped or self.lost)


@dataclass(frozen=True)
class Loaded:
    """A variable that was set by something other than code.

    Args:
        preview: of its value.
        notes: what the caller should know, such as how the text was decoded.
        seconds: it took.
    """

    preview: str
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Variable:
    """A variable in one line."""

    name: str
    brief: str
