"""Answers of sub-models that were paid for, and what each space has spent on them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields

from ._database import Database

_ROW_BYTES = 200
"""About what a row takes beside its answer."""
_TRIM_TO = 0.9
"""Of the bound, so that not every answer makes another leave."""


@dataclass(frozen=True, slots=True)
class Spending:
    """What sub-LLM calls have used.

    Args:
        calls: that were sent, tries included.
        failed: requests that got no answer.
        cached: requests whose answer was known.
        input_tokens: that were read.
        output_tokens: that were written.
        usd: US dollars, as far as prices are known.
        unpriced: calls whose price is not.
        seconds: that calls took, added up.
    """

    calls: int = 0
    failed: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    seconds: float = 0.0

    def __add__(self, other: Spending) -> Spending:
        # By name: it is done for every call, and `astuple` takes 50 times as long.
        return Spending(
            self.calls + other.calls,
            self.failed + other.failed,
            self.cached + other.cached,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.usd + other.usd,
            self.unpriced + other.unpriced,
            self.seconds + other.seconds,
        )

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it is kept.

    Args:
        key: names the question.
        model: that answered.
        answer: in a form of the keeper's own.
        used: seconds since 1970, when it was last of use; set by the store.
    """

    key: str
    model: str
    answer: bytes
    used: float = 0.0


_KEY_IN_LIST = "key IN (SELECT value FROM json_each(?))"
"""One statement for any number of keys, since SQLite keeps what it has made of each."""
_COLUMNS = tuple(item.name for item in fields(Spending))
_ADD = (
    f"INSERT INTO spending (space, {', '.join(_COLUMNS)}) "
    f"SELECT handle, {', '.join('?' * len(_COLUMNS))} FROM spaces WHERE handle = ? "
    f"ON CONFLICT (space) DO UPDATE SET {', '.join(f'{n} = {n} + excluded.{n}' for n in _COLUMNS)}"
)


class Answers:
    """Answers by their key, shared by all spaces and servers of a home, and the spending.

    Its methods may be called by any thread.

    Args:
        database: that they are rows of.
        reading: the same, over a connection that nothing else uses.
    """

    def __init__(self, database: Database, reading: Database) -> None:
        self._database = database
        self._reading = reading
        self._size: int | None = None

    def find(self, keys: Iterable[str]) -> dict[str, KeptAnswer]:
        """The answers of those keys that there are.

        Raises:
            StoreError: the database cannot be read.
        """
        rows = self._reading.rows(
            f"SELECT key, model, answer, used FROM answers WHERE {_KEY_IN_LIST}",
            json.dumps(list(keys)),
        )
        return {
            row["key"]: KeptAnswer(row["key"], row["model"], row["answer"], row["used"])
            for row in rows
        }

    def write(
        self,
        answers: Sequence[KeptAnswer],
        touched: Sequence[str],
        spent: Mapping[str, Spending],
        limit: int,
    ) -> None:
        """Keep answers, and what they cost, in one transaction.

        Args:
            answers: new ones; one of the same key is replaced.
            touched: keys of those that were of use again.
            spent: by space, to be added; what a deleted space spent is forgotten.
            limit: bytes of all answers together; those that were not used longest leave.

        Raises:
            StoreError: the disk is full or the database is damaged; nothing was written.
        """
        now = time.time()
        written = sum(len(answer.answer) + _ROW_BYTES for answer in answers)
        with self._database.transaction():
            self._database.put(
                "INSERT OR REPLACE INTO answers (key, model, created, used, size, answer) "
                "VALUES {rows}",
                [
                    (kept.key, kept.model, now, now, len(kept.answer) + _ROW_BYTES, kept.answer)
                    for kept in answers
                ],
            )
            if touched:
                self._database.change(
                    f"UPDATE answers SET used = ? WHERE {_KEY_IN_LIST}", now, json.dumps(touched)
                )
            for space, used in spent.items():
                self._database.change(_ADD, *astuple(used), space)
            if self._size is None and answers:
                self._size = self.size()
            elif self._size is not None:
                self._size += written
            if self._size is not None and self._size > limit:
                self._trim(int(limit * _TRIM_TO))
                self._size = self.size()

    def _trim(self, limit: int) -> None:
        self._database.change(
            "DELETE FROM answers WHERE key IN (SELECT key FROM (SELECT key, "
            "SUM(size) OVER (ORDER BY used DESC, key) AS total FROM answers) WHERE total > ?)",
            limit,
        )

    def size(self) -> int:
        """Bytes of all answers."""
        row = self._database.row("SELECT COALESCE(SUM(size), 0) AS size FROM answers")
        return int(row["size"]) if row is not None else 0

    def spent(self, space: str) -> Spending:
        """What a space has spent; nothing for one that is unknown.

        Raises:
            StoreError: the database cannot be read.
        """
        row = self._database.row("SELECT * FROM spending WHERE space = ?", space)
        return Spending() if row is None else Spending(*(row[name] for name in _COLUMNS))
