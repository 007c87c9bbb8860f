"""Texts as they are recorded: head and tail of what is long, and no secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..lm import scrub

FIELD_CHARS = 8_000
"""Characters kept of one text (a guess: nearly all code and answers, the ends of prompts)."""
_HEAD, _TAIL = FIELD_CHARS * 3 // 4, FIELD_CHARS // 4
_MARGIN = 4_000
"""Characters read beyond what is kept, so that a secret at the cut is seen whole; keys and tokens
are shorter."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is held of a text until it is written.

    Args:
        head: its beginning, or all of it.
        tail: its end, if that is not all in `head`.
        total: its characters.
    """

    head: str
    tail: str
    total: int

    @classmethod
    def of(cls, text: str, *, keep: bool) -> Excerpt:
        """Hold what may be written of a text; nothing but its length unless `keep`."""
        if not keep:
            return cls("", "", len(text))
        if len(text) <= FIELD_CHARS + 2 * _MARGIN:
            return cls(text, "", len(text))
        return cls(text[: _HEAD + _MARGIN], text[-_TAIL - _MARGIN :], len(text))

    @property
    def held(self) -> int:
        """The characters in memory."""
        return len(self.head) + len(self.tail)

    def written(self, secrets: Sequence[str]) -> str:
        """The text to write: without secrets, and with how much was left out of its middle."""
        head = readable(self.head, secrets)
        if not self.tail and self.total <= FIELD_CHARS:
            return head
        tail = head
        if self.tail:
            # Half of a secret may stand where each was cut off, and is not recognised as one.
            tail = readable(self.tail, secrets)[_MARGIN:]
            head = head[: len(head) - _MARGIN]
        left = self.total - _HEAD - _TAIL
        note = f"\n[... {left:,} of {self.total:,} characters left out ...]\n"
        return head[:_HEAD] + note + tail[-_TAIL:]


def readable(text: str, secrets: Sequence[str]) -> str:
    """Text without secrets, and without halves of characters, which no file takes."""
    return scrub(text.encode("utf-8", "replace").decode(), secrets)
