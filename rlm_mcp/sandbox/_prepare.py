"""The sandbox being made ready, as the server sees it: started early, waited for late."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sandbox_wasm import LIBRARY_NAME, MODULE_NAME, locate

from ..errors import SandboxError
from ._cache import BaseImage, Cache
from ._pool import WorkerPool
from ._process import WorkerProcess

_log = logging.getLogger(__name__)

Progress = Callable[[float, str], None]


class Preparation:
    """Makes the cache complete in the background and then offers workers.

    Args:
        cache: of the compiled guest and the base image.
        warm: how many workers to keep started.
        compare_pages: see `WorkerProcess.start`.
    """

    def __init__(self, cache: Cache, warm: int = 1, *, compare_pages: bool = False) -> None:
        self._cache = cache
        self._warm = warm
        self._compare_pages = compare_pages
        self._task: asyncio.Task[tuple[BaseImage, WorkerPool]] | None = None
        self._listeners: set[Progress] = set()

    def start(self) -> None:
        """Begin, if it was not begun or has failed; returns at once."""
        failed = (
            self._task is not None
            and self._task.done()
            and (self._task.cancelled() or self._task.exception() is not None)
        )
        if self._task is None or failed:
            self._task = asyncio.create_task(self._make_ready())

    @property
    def ready(self) -> bool:
        """Whether `wait` would return at once."""
        task = self._task
        return task is not None and task.done() and not task.cancelled() and not task.exception()

    async def wait(self, progress: Progress | None = None) -> tuple[BaseImage, WorkerPool]:
        """Wait until the sandbox is ready.

        Args:
            progress: is told the part that is done (0 to 1) and what is being done.

        Raises:
            SandboxError: it cannot be made ready; the next call tries again.
        """
        self.start()
        assert self._task is not None
        if progress is not None:
            self._listeners.add(progress)
        try:
            return await asyncio.shield(self._task)
        finally:
            if progress is not None:
                self._listeners.discard(progress)

    async def _make_ready(self) -> tuple[BaseImage, WorkerPool]:
        removed = await asyncio.to_thread(self._cache.remove_damaged)
        if removed:
            _log.warning("damaged and made again: %s", ", ".join(removed))
        if not await asyncio.to_thread(self._cache.is_ready):
            await run_preparation(self._cache, self._tell)
        image = await asyncio.to_thread(self._cache.base_image)
        if image is None:
            raise SandboxError("the base image is missing; run `rlm-mcp setup --force`")
        try:
            library = locate().library
        except FileNotFoundError as error:
            raise SandboxError(f"{error}; reinstall rlm-mcp") from error
        pool = WorkerPool(
            self._cache.compiled,
            library,
            self._warm,
            data=self._cache.data,
            compare_pages=self._compare_pages,
        )
        pool.refill()
        return image, pool

    async def older_worker(self, module: str, folder: Path) -> WorkerProcess:
        """A worker for spaces that were made with another artefact.

        Args:
            module: SHA-256 of that artefact's module.
            folder: where the store keeps its files.

        Raises:
            SandboxError: the files are gone or damaged.
        """
        cache = replace(self._cache, module=module)
        if not cache.has_compiled():
            await run_preparation(cache, self._tell, "--older", module, str(folder / MODULE_NAME))
        return await WorkerProcess.start(cache.compiled, folder / LIBRARY_NAME)

    def _tell(self, part: float, text: str) -> None:
        for listener in list(self._listeners):
            listener(part, text)

    async def close(self) -> None:
        """End what was begun; may be called twice."""
        if self._task is None:
            return
        self._task.cancel()  # without effect if it is done
        await asyncio.wait([self._task])
        if self.ready:
            _, pool = self._task.result()
            await pool.close()


async def run_preparation(cache: Cache, progress: Progress, *options: str) -> None:
    """Run the process that makes what the cache lacks.

    Args:
        cache: where it belongs.
        progress: is told the part that is done (0 to 1) and what is being done.
        options: of `rlm_mcp.sandbox.prepare`, such as `--force`.

    Raises:
        SandboxError: it could not.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "rlm_mcp.sandbox.prepare",
        str(cache.folder),
        *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    failure = ""
    try:
        async for line in process.stdout:
            with contextlib.suppress(ValueError, KeyError):
                told = json.loads(line)
                if "error" in told:
                    failure = str(told["error"])
                else:
                    progress(float(told["part"]), str(told["text"]))
        status = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    finally:
        last = (await errors).decode(errors="replace").strip().splitlines()[-1:]
    if failure or status:
        raise SandboxError(
            failure
            or f"the sandbox could not be prepared (exit status {status}: {''.join(last)[:300]}); "
            "run `rlm-mcp setup` to see more"
        )
