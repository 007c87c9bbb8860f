"""A place among the calls in flight, and how it is given back before a call has quite ended.

Once a model has answered, what is left to do (writing the answer to the disk) must not hold up the
next call; a disk that is slow or full would slow the model down.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Room(Protocol):
    """What has the places: a semaphore."""

    def release(self) -> None:
        """Take one place back."""
        ...


class Slot:
    """One place, taken; given back once, however often that is said.

    Args:
        room: that it was taken from.
    """

    def __init__(self, room: Room) -> None:
        self._room: Room | None = room

    def give_back(self) -> None:
        """Let the next call begin."""
        room, self._room = self._room, None
        if room is not None:
            room.release()


SLOT: ContextVar[Slot | None] = ContextVar("SLOT", default=None)
"""Of the call that the running task makes; None where nothing bounds how many there are."""


def answered() -> None:
    """Say that the model has answered what the running task asked."""
    slot = SLOT.get()
    if slot is not None:
        slot.give_back()
