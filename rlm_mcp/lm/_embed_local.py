"""Vectors of a static model that lies in a folder, made on this machine by helpers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
from asyncio.subprocess import Process
from collections.abc import Sequence

from anyio import to_thread

from ..errors import SubLLMError
from ..helpers._process import start_helper
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
KEPT = 2
"""Helpers that wait for the next question of their space; each holds the model in memory."""
SECONDS = 120.0
"""The longest that an answer may take: its texts are bounded, and take some seconds."""
IDLE_SECONDS = 120.0
"""After this a helper that waits is ended (a guess)."""
_HEAD_BYTES = 1_000
# Threads of a library that began before the walls are up would be outside of them; those of the
# tokenizer begin with the work.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "true",
}
_BY_WORDS = "search by words alone with embed=False"


class _Helper:
    """A helper of one space, which has read the model.

    Args:
        process: that it is.
        seen: what the files of the model were like.
    """

    def __init__(self, process: Process, seen: tuple[int, ...]) -> None:
        self._process = process
        self.seen = seen
        self.timer: asyncio.TimerHandle | None = None

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, data: bytes, most: int) -> bytes:
        """Its answer to one request, of so many bytes at most; it may be an attacker's.

        Raises:
            EOFError: it has ended.
            TimeoutError: it takes too long.
            ValueError: the answer is too long.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            with contextlib.suppress(ConnectionError):  # what it said before it ended is read
                self._process.stdin.write(struct.pack("<I", len(data)) + data)
                await self._process.stdin.drain()
            (length,) = struct.unpack("<Q", await self._process.stdout.readexactly(8))
            if length > most:
                raise ValueError("its helper handed in too much")
            return await self._process.stdout.readexactly(length)

    def kill(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def gone(self) -> None:
        """Wait until it has ended, and its pipes are closed."""
        await self._process.communicate()


class LocalEmbeddings:
    """Runs a static model in helpers. For one event loop.

    A helper works for one space only, so that what takes it over learns nothing of others, and
    waits some time for its next question.

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
        self._waiting: dict[str, _Helper] = {}
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
        self,
        owner: str,
        texts: Sequence[str],
        dimensions: int | None,
        model: SubModel,
        spent: Spent,
    ) -> Embedded:
        """The vectors of texts; they cost nothing and are not kept here."""
        files = await self._files()
        data = await to_thread.run_sync(lambda: json.dumps(list(texts)).encode())
        async with self._free:
            answer = await self._ask(owner, files, data, len(texts) * MAX_DIMENSIONS)
        head, _, vectors = answer.partition(b"\n")
        found = _read_head(head)
        if isinstance(found, str):
            raise self._error(found)
        if len(vectors) != found * len(texts):
            raise self._error("its helper handed in another number of vectors than texts")
        return Embedded(found, vectors)

    async def aclose(self) -> None:
        """End the helpers that wait; may be called twice."""
        self._closed = True
        for owner in list(self._waiting):
            self._end(self._waiting.pop(owner))
        await asyncio.gather(*self._ending)

    async def _ask(self, owner: str, files: ModelFiles, data: bytes, most: int) -> bytes:
        helper = self._waiting.pop(owner, None)
        while True:
            if helper is not None and (helper.seen != files.seen or not helper.alive):
                self._end(helper)
                helper = None
            waited = helper is not None
            if helper is None:
                try:
                    helper = await _start(files)
                except OSError as error:
                    cause = f"its helper cannot be started ({error.strerror})"
                    raise self._error(cause) from error
            try:
                answer = await helper.ask(data, _HEAD_BYTES + most)
            except EOFError:
                self._end(helper)
                helper = None
                if not waited:  # one that waited may have ended for reasons of its own
                    raise self._error("its helper died") from None
                continue
            except TimeoutError:
                self._end(helper)
                raise self._error("its helper took too long") from None
            except ValueError as error:
                self._end(helper)
                raise self._error(str(error)) from None
            except BaseException:
                self._end(helper)
                raise
            self._keep(owner, helper)
            return answer

    def _keep(self, owner: str, helper: _Helper) -> None:
        """Let a helper wait for the next question of its space."""
        if helper.timer is not None:
            helper.timer.cancel()
        if self._closed or owner in self._waiting:
            self._end(helper)
            return
        self._waiting[owner] = helper
        loop = asyncio.get_running_loop()
        helper.timer = loop.call_later(IDLE_SECONDS, self._idle, owner, helper)
        while len(self._waiting) > KEPT:
            self._end(self._waiting.pop(next(iter(self._waiting))))

    def _idle(self, owner: str, helper: _Helper) -> None:
        if self._waiting.get(owner) is helper:
            del self._waiting[owner]
            self._end(helper)

    def _end(self, helper: _Helper) -> None:
        helper.kill()
        task = asyncio.create_task(helper.gone())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

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


async def _start(files: ModelFiles) -> _Helper:
    descriptors = await to_thread.run_sync(open_files, files)
    try:
        process = await start_helper(
            "embed", list(map(str, descriptors)), descriptors=descriptors, environment=_ENVIRONMENT
        )
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return _Helper(process, files.seen)


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
