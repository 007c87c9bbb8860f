"""The conversation with a root model, which does not grow beyond a bound."""

from __future__ import annotations

import hashlib

from ..lm import Prompt, Turn

MAX_CHARS = 160_000
"""Of the conversation, about 40,000 tokens (a guess): models follow long ones badly, every
iteration pays for all of it, and what was cut is still in the variables."""
_KEPT = 6
"""The last turns that are not shortened."""
_OUTPUT, _SAID, _LONGEST = 600, 1_500, 30_000
"""Characters of older outputs, of older replies, and of any single turn."""


class Talk:
    """A conversation that begins with a question and ends with what the model is to react to.

    Older outputs are shortened only when the bound is reached, and then all at once, so that
    what providers keep of the beginning of a conversation stays useful.

    Args:
        system: instructions that stand above all.
        first: the question.
        limit: characters of the whole.
    """

    def __init__(self, system: str, first: str, limit: int = MAX_CHARS) -> None:
        self._system = system
        self._turns = [Turn("user", whole(first))]
        self._limit = limit
        self._dropped = 0
        self._known = hashlib.sha256()
        self._know(first)

    def add(self, said: str, shown: str, left: str = "") -> None:
        """Add what the model said and what it is shown next.

        Args:
            said: by the model.
            shown: what came of it.
            left: said above that, on what the run may still use. It does not make the conversation
                another one, or a run that is repeated would be paid for again: known answers
                leave more.
        """
        self._know(said, shown)
        shown = f"{left}\n{shown}" if left else shown
        self._turns.append(Turn("assistant", shorten(whole(said), _LONGEST) or "(nothing)"))
        self._turns.append(Turn("user", shorten(whole(shown), _LONGEST)))
        if self._size() > self._limit:
            self._shrink()

    def halve(self) -> bool:
        """Make it fit a smaller model; returns whether it became shorter."""
        before = self._size()
        self._limit = max(before // 2, 2_000)
        self._shrink()
        return self._size() < before

    def prompt(self, more: str = "") -> Prompt:
        """What to ask; `more` is said at the end of the last turn and not kept."""
        *history, last = self._turns
        text = f"{last.text}\n\n{more}" if more else last.text
        known = self._known.copy()
        known.update(more.encode())
        return Prompt(text, self._system, tuple(history), known_as=known.hexdigest())

    def _know(self, *texts: str) -> None:
        for text in texts:
            data = text.encode("utf-8", "replace")
            self._known.update(b"%d:" % len(data))
            self._known.update(data)

    def _size(self) -> int:
        return sum(len(turn.text) for turn in self._turns)

    def _shrink(self) -> None:
        first, rest = self._turns[0], self._turns[1:]
        older, last = rest[:-_KEPT], rest[-_KEPT:]
        older = [
            Turn(turn.role, shorten(turn.text, _SAID if turn.role == "assistant" else _OUTPUT))
            for turn in older
        ]
        room = self._limit - len(first.text) - sum(len(turn.text) for turn in last)
        if self._dropped:
            del older[:2]  # the note on those that were dropped before
        while older and sum(len(turn.text) for turn in older) > max(room, 0) * 2 // 3:
            del older[:2]  # a reply and what was shown for it
            self._dropped += 1
        if self._dropped:
            note = f"({self._dropped} earlier turns are left out; show_vars() says what they made)"
            older = [Turn("assistant", "(earlier work)"), Turn("user", note), *older]
        self._turns = [first, *older, *last]
        if self._size() > self._limit:
            share = max((self._limit - len(first.text)) // max(len(last), 1), 500)
            self._turns = [first, *older, *(Turn(t.role, shorten(t.text, share)) for t in last)]


def whole(text: str) -> str:
    """Text with question marks for halves of surrogate pairs, which no model can read."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def shorten(text: str, limit: int) -> str:
    """The beginning and the end of a text, with what was cut said between."""
    if len(text) <= limit:
        return text
    part = limit // 2
    return f"{text[:part]}\n[... {len(text) - 2 * part:,} characters cut ...]\n{text[-part:]}"
