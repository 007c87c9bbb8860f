"""Formats that the guest has no parser for: what a helper makes of them, the guest can read."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from ..errors import SourceError
from ..helpers._process import run_helper
from ._bundle import Bundle, scratch

SECONDS = 300.0
_ANSWER_BYTES = 64 << 10
_HEAD = 8
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"FEA1": "arrow", b"\x28\xb5\x2f\xfd": "zstd"}
_EXTRA = {"pyarrow": "pip install 'rlm-mcp[parquet]'", "zstandard": "pip install zstandard"}


async def convert(name: str, source: int, target: int, limit: int, what: str) -> None:
    """Have a helper make one file of another.

    Args:
        name: of the operation; see `rlm_mcp.helpers.convert`.
        source: descriptor of the file.
        target: descriptor that is written.
        limit: the most bytes to write.
        what: the file, for errors.

    Raises:
        SourceError: it is damaged, too large, or the library for it is not installed.
    """
    for descriptor in (source, target):
        os.lseek(descriptor, 0, os.SEEK_SET)
    output = await run_helper(
        "convert",
        [name, str(source), str(target), str(limit)],
        descriptors=(source, target),
        # Libraries must not begin threads before the process has locked itself down.
        environment={"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"},
        seconds=SECONDS,
        max_output=_ANSWER_BYTES,
    )
    answer = _answer(output.data)
    if "notes" in answer and not output.failure:
        return
    if "missing" in answer:
        library = str(answer["missing"]).partition(".")[0]
        how = _EXTRA.get(library, "install rlm-mcp again")
        raise SourceError(f"{what} needs {library[:40]}, which is not installed: {how}.")
    cause = answer.get("error")
    if output.failure or not isinstance(cause, str):
        cause = output.failure or "the helper does not say why"
    raise SourceError(f"{what} cannot be converted: {cause[:500].rstrip('.')}.")


def _answer(said: bytes) -> dict[str, object]:
    try:
        answer = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


async def converted(bundle: Bundle, format: str, max_bytes: int) -> Bundle:
    """A bundle whose content the guest can read: this one, or what a helper made of it.

    Args:
        bundle: of the source; it is closed where another takes its place.
        format: as the caller asked for it.
        max_bytes: the most that the other may hold.

    Raises:
        SourceError: the file is damaged or too large.
    """
    if bundle.kind != "file" or format == "bytes":
        return bundle
    operation = _operation(os.pread(bundle.fd, _HEAD, bundle.entries[0][1]))
    if operation is None:
        if format in ("parquet", "arrow"):
            raise SourceError(f"{bundle.origin.path!r} is no {format} file. Leave format out.")
        return bundle
    if operation != "zstd" and format not in ("auto", "parquet", "arrow"):
        return bundle
    made = scratch()
    try:
        await convert(operation, bundle.fd, made, max_bytes, repr(bundle.origin.path))
    except BaseException:
        os.close(made)
        raise
    size = os.fstat(made).st_size
    name = bundle.hint or bundle.origin.path
    if operation == "zstd":
        lower = name.lower()
        name = name[: -len(".zst")] if lower.endswith(".zst") else name
        name = f"{name[:-5]}.tar" if lower.endswith(".tzst") else name
    bundle.verify()
    bundle.close()
    return Bundle(
        made,
        [(name, 0, size)],
        "file",
        replace(bundle.origin, size=size),
        bundle.skipped,
        bundle.notes,
        bundle.format if operation == "zstd" else "columns",
        hint=name,
        charset=bundle.charset,
        pattern=bundle.pattern,
    )


def _operation(head: bytes) -> str | None:
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
