"""Recording what happens, without holding it up: a thread writes, in batches."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from opentelemetry import trace

from ..errors import RlmError, StoreError
from ..lm import secret_values
from ..store import RUNNING, SpanRow, SpanTable
from ._otel import Caller, Exporter
from ._text import Excerpt, readable

_log = logging.getLogger(__name__)

WINDOW_SECONDS = 0.25
"""How long spans are collected before they are written (a guess)."""
YOUNG_SECONDS = 1.0
"""What has no parts is first written when it has ended, or has run for so long: one row and one
write instead of two for most sub-LLM calls (a guess)."""
MAX_PENDING = 64 << 20
"""Characters that may wait to be written; beyond that spans are lost and not memory."""
_SPAN_CHARS = 500
"""Counted for a span beside its texts (a guess)."""
_CLOSE_SECONDS = 10.0
"""For the last batch when the server ends; a disk that takes longer costs the record."""
_FACT_CHARS = 300

Texts = Mapping[str, str | None]
"""What may be private, by name: code, prompts, answers, output. `None` is left out."""
Fact = str | int | float | bool | None


class Span:
    """Something that happens, from its making to `end`. Made by `Recorder.begin` or `begin`.

    As a context manager it ends with its block: `failed` by an exception, `cancelled` where the
    task is cancelled.
    """

    def __init__(
        self, recorder: Recorder, tree: str, parent: Span | None, space: str, kind: str
    ) -> None:
        self.id = f"{tree}-{next(recorder.numbers):016x}"
        self.space = space
        self._recorder = recorder
        self._tree = tree
        self._parent = parent.id if parent is not None else None
        self._kind = kind
        self._caller: Caller | None = None
        self._started = time.time()
        self._begin = time.monotonic()
        self._facts: dict[str, Fact] = {}
        self._texts: dict[str, Excerpt] = {}
        self._seconds: float | None = None
        self._status = RUNNING
        self.written = False
        """Whether its end is; of the thread that writes."""

    def begin(
        self, kind: str, *, space: str | None = None, texts: Texts | None = None, **facts: Fact
    ) -> Span:
        """Begin a part of this.

        Args:
            kind: what it is.
            space: where it happens, if that is another space, such as a fork.
            texts: what may be private; recorded by the setting, else only as lengths.
            facts: numbers and names that are no secret, always recorded.
        """
        span = Span(self._recorder, self._tree, self, space or self.space, kind)
        span._caller = self._caller
        span._take(texts, facts)
        self._recorder.put(span)
        return span

    def note(self, *, texts: Texts | None = None, **facts: Fact) -> None:
        """Keep more about this, to be written when it ends."""
        self._take(texts, facts)

    def end(self, status: str = "ok", *, texts: Texts | None = None, **facts: Fact) -> None:
        """Say what became of this; only the first call counts."""
        if self._status == RUNNING:
            self._take(texts, facts)
            self._seconds = time.monotonic() - self._begin
            self._status = status  # the last, since another thread may be reading this
            self._recorder.put(self)

    def __enter__(self) -> Span:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.end()
        else:
            cancelled = isinstance(error, asyncio.CancelledError)
            # The text of other exceptions is not written for users, and may hold anything.
            text = str(error) if isinstance(error, RlmError) else None
            kind = type(error).__name__ if text is None and not cancelled else None
            self.end("cancelled" if cancelled else "failed", texts={"error": text}, error_kind=kind)

    def row(self, secrets: Sequence[str]) -> SpanRow:
        """This as it is now, to be written; called in another thread.

        Args:
            secrets: that are left out.
        """
        status = self._status
        detail: dict[str, Any] = {
            name: readable(fact, secrets)[:_FACT_CHARS] if isinstance(fact, str) else fact
            for name, fact in self._facts.copy().items()
        }
        for name, text in self._texts.copy().items():
            detail[f"{name}_chars"] = text.total
            if text.head:
                detail[name] = text.written(secrets)
        seconds = None if status == RUNNING else self._seconds
        return SpanRow(
            self.id, self._parent, self.space, self._kind, self._started, seconds, status, detail
        )

    def is_young(self, since: float) -> bool:
        """Whether it has no parts, has not ended, and began after a moment (`time.monotonic`)."""
        return self._kind == "sub_llm" and self._status == RUNNING and self._begin > since

    @property
    def caller(self) -> Caller | None:
        """What called the server, by the client's own trace."""
        return self._caller

    @property
    def held(self) -> int:
        """The characters in memory, about."""
        return _SPAN_CHARS + sum(text.held for text in self._texts.values())

    def _take(self, texts: Texts | None, facts: Mapping[str, Fact]) -> None:
        keep = self._recorder.keeps_texts
        for name, text in (texts or {}).items():
            if text is not None:
                self._texts[name] = Excerpt.of(text, keep=keep)
        for name, fact in facts.items():
            if fact is not None:
                self._facts[name] = fact


class _Nothing(Span):
    """Stands in where nothing is recorded."""

    def __init__(self) -> None:
        self.id = ""
        self.space = ""

    def begin(
        self, kind: str, *, space: str | None = None, texts: Texts | None = None, **facts: Fact
    ) -> Span:
        return self

    def note(self, *, texts: Texts | None = None, **facts: Fact) -> None:
        pass

    def end(self, status: str = "ok", *, texts: Texts | None = None, **facts: Fact) -> None:
        pass


NOTHING: Span = _Nothing()
"""A span that leaves no record; whatever is begun under it neither."""


class Recorder:
    """Writes spans to the store, and to a collector if there is one. One of a server.

    Nothing here raises or waits: what cannot be written is lost, and the log says so once.

    Args:
        table: where they are written; closed here.
        record: `full`, `shape` (no texts, only their lengths) or `off`.
        exporter: opens the way to a collector, or gives `None`; called in the writing thread,
            since that imports a lot. Left out: there is no collector.
    """

    def __init__(
        self,
        table: SpanTable | None,
        record: str = "full",
        exporter: Callable[[], Exporter | None] | None = None,
    ) -> None:
        self.numbers = itertools.count(secrets.randbits(62))
        self.keeps_texts = record == "full"
        self._table = table
        self._on = table is not None and record != "off"
        self._open_exporter = exporter
        self._exporter: Exporter | None = None
        self._lock = threading.Lock()
        self._changed: dict[str, Span] = {}
        self._held = 0
        self._lost = 0
        self._failing = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, kind: str, space: str, *, texts: Texts | None = None, **facts: Fact) -> Span:
        """Begin the top of a tree; arguments as for `Span.begin`."""
        if not self._on:
            return NOTHING
        tree = f"{time.time_ns():016x}{secrets.token_hex(8)}"
        span = Span(self, tree, None, space, kind)
        if self._open_exporter is not None:
            caller = trace.get_current_span().get_span_context()
            if caller.is_valid:
                span._caller = Caller(caller.trace_id, caller.span_id)
        span._take(texts, facts)
        self.put(span)
        return span

    def put(self, span: Span) -> None:
        """Tell the thread that writes of a span that has begun or ended."""
        with self._lock:
            if self._closing.is_set():
                return
            if self._held > MAX_PENDING:
                self._lost += 1
                return
            self._changed[span.id] = span
            self._held += span.held
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="rlm-mcp-recorder", daemon=True
                )
                self._thread.start()
        if not self._wake.is_set():  # which takes a lock
            self._wake.set()

    async def aclose(self) -> None:
        """Write what is left, and close the store's table; may be called twice."""
        with self._lock:
            self._closing.set()
        self._wake.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)
        elif self._table is not None:
            self._table.close()

    def _run(self) -> None:
        assert self._table is not None
        try:
            if self._open_exporter is not None:
                self._exporter = self._open_exporter()
            while True:
                self._wake.wait()
                self._closing.wait(WINDOW_SECONDS)
                self._wake.clear()
                with self._lock:
                    last = self._closing.is_set()
                    changed, self._changed, self._held = self._changed, {}, 0
                    if not last:
                        self._keep_young(changed)
                    lost, self._lost = self._lost, 0
                if lost:
                    _log.warning("%d spans are not in the record: the disk is too slow", lost)
                self._write(self._table, list(changed.values()))
                if last:
                    return
        except Exception:
            _log.exception("the record of this server ends here")
        finally:
            self._closing.set()
            if self._exporter is not None:
                self._exporter.close()
            self._table.close()

    def _keep_young(self, changed: dict[str, Span]) -> None:
        """Take out what is written later; the lock is held."""
        since = time.monotonic() - YOUNG_SECONDS
        self._changed = {id: span for id, span in changed.items() if span.is_young(since)}
        for id, span in self._changed.items():
            del changed[id]
            self._held += span.held
        if self._changed:
            self._wake.set()

    def _write(self, table: SpanTable, spans: list[Span]) -> None:
        values = secret_values()
        rows = []
        for span in spans:
            if not span.written:  # one may end while it is being read, and then comes once more
                row = span.row(values)
                span.written = row.seconds is not None
                rows.append((row, span.caller))
        try:
            table.write([row for row, _ in rows])
            self._failing = False
        except StoreError as error:
            if not self._failing:
                _log.warning("what happens is not being recorded: %s", error)
            self._failing = True
        if self._exporter is None:
            return
        try:
            for row, caller in rows:
                if row.seconds is not None:
                    self._exporter.export(row, caller)
        except Exception:
            _log.exception("no more spans are sent to the collector")
            self._exporter = None
