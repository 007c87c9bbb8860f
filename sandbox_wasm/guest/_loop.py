"""What the guest does in each turn: fetch the request, carry it out, hand in the result."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from . import (
    _base,
    _chunks,
    _citation,
    _cite,
    _copy,
    _door,
    _execute,
    _figures,
    _find,
    _llm,
    _llm_template,
    _llm_terms,
    _load,
    _meaning,
    _outline,
    _parallel,
    _peek,
    _preview,
    _reply,
    _rlm,
    _save,
    _search,
    _slots,
    _sources,
    _symbols,
    _trace,
    _variables,
    _view,
)
from ._bulk import Input, write_output
from ._llm_error import SubLLMError
from ._places import Contents

NAMESPACE: dict[str, Any] = sys.modules["__main__"].__dict__
ENTRY = "_rlm_turn_"
_KEPT = "_rlm_kept"  # what goes along with variables to another interpreter
_PACKAGE = __name__.partition(".")[0]
_CORE = (
    "ast", "linecache",  # the artefact runs the source of a turn through ast
    *(f"{_PACKAGE}.{name}" for name in (
        "_door", "_execute", "_loop", "_meaning", "_slots", "_sources", "_trace",
    )),
)  # fmt: skip
"""The modules that begin a turn, end it, and check that another can be run."""


def show_vars() -> None:
    """Print the variables of this space, with type and size."""
    for entry in _variables.summary(NAMESPACE, 200, _execute.hidden(HELPERS)):
        print(f"{entry['name']}: {entry['brief']}")  # noqa: T201 - that is what it is for


_slots.connect(_door.raw, _door.answer)

HELPERS: dict[str, Any] = {
    "sub_llm": _llm.sub_llm,
    "sub_llm_map": _llm.sub_llm_map,
    "asub_llm": _llm.asub_llm,
    "llm_query": _llm.llm_query,
    "llm_query_batched": _llm.llm_query_batched,
    "SubLLMError": SubLLMError,
    "grep": _find.grep,
    "lines": _find.lines,
    "chunks": _chunks.chunks,
    "search": _search.search,
    "EmbeddingError": _meaning.EmbeddingError,
    "outline": _outline.outline,
    "symbols": _symbols.symbols,
    "SymbolsError": _outline.SymbolsError,
    "cite": _cite.cite,
    "evidence": _cite.evidence,
    "source_of": _sources.source_of,
    "show": _figures.show,
    "pmap": _parallel.pmap,
    "PmapError": _parallel.PmapError,
    "FileView": _view.FileView,
    "ViewChangedError": _view.ViewChangedError,
    "show_vars": show_vars,
    "SHOW_VARS": show_vars,
    **_rlm.HELPERS,
}


def _exec(request: dict[str, Any]) -> dict[str, Any]:
    _llm_terms.forget_types()
    return _execute.execute(
        NAMESPACE, HELPERS, request["code"], request["number"], request["keep_chars"]
    )


def _load_value(request: dict[str, Any]) -> dict[str, Any]:
    name = request["name"]
    if name in HELPERS:
        return {"refused": f"`{name}` is the name of a helper; choose another name"}
    source = Input(request["size"])
    notes: list[str] = []
    contents = Contents()
    row: tuple[Any, ...] = ()
    try:
        if request["format"] == "copy":
            value, row = _copy.read(source)
        elif request["format"] == "pickle":
            value = _copy.read(source)
        else:
            entries = [(path, offset, length) for path, offset, length in request["entries"]]
            value, notes = _load.load(
                source,
                entries,
                request["kind"],
                request["format"],
                request["hint"],
                request.get("pattern"),
                request.get("charset"),
                contents,
            )
        digests = _digests(request)
    except (_load.LoadError, _copy.CopyError) as error:
        return {"refused": str(error)}
    replaced = name in NAMESPACE
    NAMESPACE[name] = value
    origin = request.get("origin")
    if origin is None:
        _sources.accept(name, value, row, request["hint"])
    else:
        _sources.remember(name, value, origin, entries, digests, contents)
    preview = _preview.preview(value)
    return {"preview": preview, "notes": notes, "replaced": replaced}


def _digests(request: dict[str, Any]) -> bytes:
    """The digests of the files, which the host works out while the value is made.

    Raises:
        LoadError: the source was changed meanwhile, so the value may be neither old nor new.
    """
    if not (request.get("origin") or {}).get("digests"):
        return b""
    answer = _door.answer("source_digests")
    if "changed" in answer:
        raise _load.LoadError(answer["changed"])
    return bytes.fromhex(answer.get("sha256", ""))


def _make_view(request: dict[str, Any]) -> dict[str, Any]:
    name = request["name"]
    if name in HELPERS:
        return {"refused": f"`{name}` is the name of a helper; choose another name"}
    try:
        value, notes = _view.make(
            request["id"],
            request["hint"],
            request["size"],
            request["format"],
            request["modified"],
        )
    except _view.ViewError as error:
        return {"refused": str(error)}
    NAMESPACE[name] = value
    origin = {"path": request["hint"], "time": request["time"]}
    _sources.remember(name, value, origin, [(request["hint"], 0, request["size"])], b"")
    return {"preview": _preview.preview(value), "notes": notes}


def _peek_value(request: dict[str, Any]) -> dict[str, Any]:
    arguments = {key: value for key, value in request.items() if key not in ("op", "target")}
    try:
        return {"text": _peek.peek(NAMESPACE, request["target"], **arguments)}
    except _peek.PeekError as error:
        return {"refused": str(error)}


def _save_value(request: dict[str, Any]) -> dict[str, Any]:
    try:
        value = _peek.resolve(request["name"], NAMESPACE)
        if request["format"] == "copy":
            copied = _copy.pickled(value, beside=_sources.carried(request["name"]))
            return {"written": write_output([copied]), "format": "copy"}
        if request["format"] == "answer":
            return {"written": write_output([_rlm.answer_pickled(value)]), "format": "answer"}
        value = _cite.report(value, request["format"], request["suffix"])
        chunks, used = _save.serialize(value, request["format"], request["suffix"])
        return {"written": write_output(chunks), "format": used}
    except (_peek.PeekError, _save.SaveError, _copy.CopyError) as error:
        return {"refused": str(error)}


def _template(request: dict[str, Any]) -> dict[str, Any]:
    if request["into"] in HELPERS:
        return {"refused": f"`{request['into']}` is the name of a helper; choose another name"}
    try:
        NAMESPACE[request["into"]] = value = _llm_template.run_template(
            lambda target: _peek.resolve(target, NAMESPACE),
            request,
            has_item="item" in NAMESPACE,
        )
    except (_peek.PeekError, SubLLMError) as error:
        return {"refused": str(error)}
    return {"preview": _preview.preview(value)}


def _export(_request: dict[str, Any]) -> dict[str, Any]:
    hidden = _execute.hidden(HELPERS)
    variables = {
        name: value
        for name, value in NAMESPACE.items()
        if type(name) is str and not name.startswith("_") and name not in hidden
    }
    variables[_KEPT] = {"sources": _sources.exported(), "cited": _citation.exported()}
    data, left = _copy.export(variables)
    return {"written": write_output([data]), "left": left}


def _import(request: dict[str, Any]) -> dict[str, Any]:
    try:
        found = _copy.read(Input(request["size"]))
    except _copy.CopyError as error:
        return {"refused": str(error)}
    kept = found.pop(_KEPT, {})
    NAMESPACE.update(found)
    _sources.imported(kept.get("sources", {}))
    _citation.imported(kept.get("cited", {}))
    return {"names": sorted(found)}


def _begin(request: dict[str, Any]) -> dict[str, Any]:
    return _rlm.begin(request, _execute.hidden(HELPERS))


def _read_reply(request: dict[str, Any]) -> dict[str, Any]:
    return _reply.read(request["text"])


def _info(request: dict[str, Any]) -> dict[str, Any]:
    return {"variables": _variables.summary(NAMESPACE, request["limit"], _execute.hidden(HELPERS))}


def _check(request: dict[str, Any]) -> dict[str, Any]:
    """Show that a turn can be run and that there is memory for one."""
    _execute.check(full=request["full"])
    return {}


def _reseed() -> None:
    """Give this space random numbers of its own: it began as a copy of another memory."""
    import random

    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


_OPERATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "exec": _exec,
    "load": _load_value,
    "view": _make_view,
    "peek": _peek_value,
    "save": _save_value,
    "ask": _template,
    "info": _info,
    "begin": _begin,
    "reply": _read_reply,
    "pmap_items": _parallel.run,
    "export": _export,
    "import": _import,
    "check": _check,
}


def _mender(names: Iterable[str]) -> Callable[[], None]:
    """A function that puts modules, with their functions, back to what they are now.

    It holds what it needs itself: what is in a module is in reach of guest code.

    Args:
        names: of modules.
    """
    tables = [vars(sys.modules[name]) for name in names]
    whole = [(table, dict(table)) for table in (*tables, _OPERATIONS, HELPERS)]
    functions = [
        (value, value.__code__, value.__defaults__, value.__kwdefaults__)
        for table in tables
        for value in table.values()
        if isinstance(value, FunctionType)
        and value.__module__ == table["__name__"]
        and value.__module__.startswith(_PACKAGE)
    ]

    def mend() -> None:
        for table, kept in whole:
            table.update(kept)
        for function, code, defaults, keywords in functions:
            if function.__code__ is not code:
                function.__code__ = code
            if function.__defaults__ is not defaults or function.__kwdefaults__ is not keywords:
                function.__defaults__, function.__kwdefaults__ = defaults, keywords

    return mend


def _carry_out(request: dict[str, Any]) -> None:
    """Carry out one request of the host."""
    _slots.begin()
    _meaning.begin()
    try:
        if request.pop("reseed", False):
            _reseed()
        answer = _OPERATIONS[request["op"]](request)
    except MemoryError as error:
        _execute.SPARE.clear()
        error.__traceback__ = None
        answer = {"refused": "out of memory: the value does not fit; load a smaller part"}
    except _execute.Stop:
        raise
    except BaseException as error:  # values may be of classes that raise anything
        answer = {"refused": _trace.describe(error, 1000)}
    _door.result(answer)


def _is_of_this_package(value: object) -> bool:
    if not isinstance(value, FunctionType | type):
        return False
    return str(value.__module__).partition(".")[0] == _PACKAGE


def install(*, first: bool) -> dict[str, Any]:
    """Take the place of whatever ran turns before.

    Args:
        first: whether a base image is being made, and not a space taken over.

    Returns:
        Addresses for the host: of the exception that stops code, and of `None`, whose
        reference count shows what an immortal object's is.
    """
    core_is_whole = False

    def turn() -> None:
        # Guest code can reach this package, so it is mended before each turn. That takes as long
        # as a small execution itself: after one only what ends it is mended, and what the check
        # needs that follows it.
        nonlocal core_is_whole
        only_core, core_is_whole = core_is_whole, False
        if not only_core:
            mend()
        request = _door.request()
        if request["op"] == "check":
            _carry_out(request)
            return
        if only_core:
            mend()
        _carry_out(request)
        mend_core()
        _sources.forget()
        _execute.tidy(NAMESPACE)
        core_is_whole = True

    if not first:
        _view.adopt()
    _figures.prepare()
    _execute.keep_entry(ENTRY, turn)
    # The artefact's own would end the interpreter after the turn.
    for name in ("exit", "quit"):
        _execute.keep_builtin(name, _execute.leave)
    _execute.keep_modules()
    packages = (_PACKAGE, "ast", "linecache", "traceback")
    mend = _mender([name for name in sys.modules if name.partition(".")[0] in packages])
    mend_core = _mender(_CORE)
    for name in [name for name in HELPERS if _is_of_this_package(NAMESPACE.get(name))]:
        del NAMESPACE[name]  # an older version's
    _execute.put_back(NAMESPACE, HELPERS)
    if first:
        _base.warm_up(NAMESPACE, HELPERS)
    NAMESPACE.setdefault("Out", {})
    gc.collect()
    if first:
        _execute.SPARE.clear()
        for addresses in _base.long_lived():
            _door.raw(_door.IMMORTAL + addresses)
        _execute.keep_spare()  # now, since what is immortal cannot be given up
    gc.freeze()
    return {"exception": id(_execute.Stop), "immortal": id(None)}
