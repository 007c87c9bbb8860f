"""Vectors of a static model that lies in a folder, made on this machine by a helper."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from asyncio.subprocess import Process
from collections.abc import Sequence

from anyio import to_thread

from rlm_mcp.errors import SubLLMError

from ..helpers._process import finish_helper, start_helper
from ._embeddings import LOCAL, Embedded, Spent, identity_of
from ._model import SubModel
from ._model_folder import ModelFiles, ModelFolderError, find_model, open_files
from ._vectors import MAX_DIMENSIONS

UNASKED = 10_000
"""Texts that a search may have embedded that did not ask for it: 12 MB in passages of the usual
size, which take some seconds, once."""
WEIGHT = 0.5
"""Of the ranking: with it, a static model of 256 numbers left 32 questions over this project's own
sources as well answered as by words alone, where with 1 a third of the first hits got worse."""
AT_ONCE = 2
"""Helpers that work at the same time; further ones wait (a guess: they are busy all the time)."""
SECONDS = 120.0
"""The longest that a helper may run: its input is bounded, and takes some seconds."""
IDLE_SECONDS = 120.0
"""After this a helper that waits for work is ended: it holds the model in memory (a guess)."""
REFILL_SECONDS = 0.3
"""After a helper is taken, until the next one is started, which needs a core for as long."""
_HEAD_BYTES = 1_000
# Threads of a library that began before the walls are up would be outside of them; those of the
# tokenizer begin with the work.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "true",
}
_BY_WORDS = "search by words alone with embed=False"


class LocalEmbeddings:
    """Runs a static model in helpers, each of which does one piece of work. For one event loop.

    One helper is kept ready, with the model read, so that a question waits for none to start.

    Args:
        name: `model2vec/` and a folder, or the name of a model in the hub's cache.
    """

    weight = WEIGHT
    unasked = UNASKED
    waits = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._place = name.removeprefix(f"{LOCAL}/")
        self._digest: tuple[tuple[int, ...], str] | None = None
        self._free = asyncio.Semaphore(AT_ONCE)
        self._ready: tuple[tuple[int, ...], asyncio.Task[Process]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def shown(self) -> str:
        """The name without the path, which is the user's own."""
        return f"{LOCAL}/{os.path.basename(self._place.rstrip('/'))}"  # noqa: PTH119

    async def identity(self) -> str:
        """The name of the folder, and a digest of the files."""
        files = await self._files()
        if self._digest is None or self._digest[0] != files.seen:
            try:
                self._digest = (files.seen, await to_thread.run_sync(files.digest))
            except OSError as error:
                raise self._error(f"its files cannot be read ({error.strerror})") from error
        return identity_of(self.shown, self._digest[1])

    async def embed(
        self, texts: Sequence[str], dimensions: int | None, model: SubModel, spent: Spent
    ) -> Embedded:
        """The vectors of texts; they cost nothing and are not kept here."""
        files = await self._files()
        data = await to_thread.run_sync(lambda: json.dumps(list(texts)).encode())
        async with self._free:
            try:
                helper = await self._take(files)
            except OSError as error:
                raise self._error(f"its files cannot be read ({error.strerror})") from error
            output = await finish_helper(
                helper,
                data,
                seconds=SECONDS,
                max_output=_HEAD_BYTES + len(texts) * MAX_DIMENSIONS,
            )
        head, _, vectors = output.data.partition(b"\n")
        found = _read_head(head)
        if isinstance(found, str) or output.failure:
            raise self._error(output.failure or str(found))
        if len(vectors) != found * len(texts):
            raise self._error("its helper handed in another number of vectors than texts")
        return Embedded(found, vectors)

    async def aclose(self) -> None:
        """End the helper that waits; may be called twice."""
        self._closed = True
        self._end()
        await asyncio.gather(*self._ending)

    async def _files(self) -> ModelFiles:
        try:
            return await to_thread.run_sync(find_model, self._place)
        except ModelFolderError as error:
            raise self._error(error.cause) from error

    def _error(self, cause: str) -> SubLLMError:
        return SubLLMError(
            f"the embedding model {self.shown} cannot be used: {cause}. `rlm-mcp doctor` says "
            f"where it is looked for; or {_BY_WORDS}.",
            kind="failed",
            provider=LOCAL,
            model=self.shown,
            calls=0,
        )

    async def _take(self, files: ModelFiles) -> Process:
        """A helper that nobody else uses."""
        ready, self._ready = self._ready, None
        self._cancel_timer()
        helper = None
        if ready is not None and ready[0] == files.seen:
            try:
                helper = await asyncio.shield(ready[1])
            except OSError:
                helper = None
            except asyncio.CancelledError:
                self._end_later(ready[1])
                raise
        elif ready is not None:
            self._end_later(ready[1])
        if helper is None or helper.returncode is not None:
            helper = await _start(files)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(REFILL_SECONDS, self._refill, files)
        return helper

    def _refill(self, files: ModelFiles) -> None:
        if self._closed or self._ready is not None:
            return
        self._ready = (files.seen, asyncio.create_task(_start(files)))
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._end)

    def _end(self) -> None:
        """End the helper that waits."""
        self._cancel_timer()
        ready, self._ready = self._ready, None
        if ready is not None:
            self._end_later(ready[1])

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_later(self, started: asyncio.Task[Process]) -> None:
        task = asyncio.create_task(_end(started))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _start(files: ModelFiles) -> Process:
    descriptors = await to_thread.run_sync(open_files, files)
    try:
        return await start_helper(
            "embed", list(map(str, descriptors)), descriptors=descriptors, environment=_ENVIRONMENT
        )
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


async def _end(started: asyncio.Task[Process]) -> None:
    with contextlib.suppress(OSError):
        process = await started
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # Its pipes are closed with it.
        await process.communicate()


def _read_head(line: bytes) -> int | str:
    """The dimensions that a helper names, or why there are no vectors."""
    try:
        head = json.loads(line[:_HEAD_BYTES])
    except (ValueError, RecursionError):
        return "its helper handed in no vectors"
    found = head.get("dimensions") if isinstance(head, dict) else None
    if type(found) is int and 0 < found <= MAX_DIMENSIONS:
        return found
    cause = head.get("error") if isinstance(head, dict) else None
    return cause[:500].rstrip(".") if isinstance(cause, str) else "its helper handed in no vectors"
