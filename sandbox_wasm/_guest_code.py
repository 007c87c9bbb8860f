"""The guest's sources and libraries, as the bootstrap turn wants them."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources

ENTRY = "_rlm_turn_"
"""The name that a turn calls; `rlm_guest._loop` installs it."""

LIBRARIES = (
    # The standard library that agents reach for.
    "argparse", "array", "ast", "asyncio", "base64", "bisect", "calendar", "collections",
    "concurrent.futures", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal",
    "difflib", "enum", "fnmatch", "fractions", "functools", "gzip", "hashlib", "heapq", "html",
    "html.parser", "inspect", "io", "ipaddress", "itertools", "json", "linecache", "logging",
    "math", "operator", "os", "pathlib", "pickle", "pprint", "random", "re", "secrets",
    "shlex", "statistics", "string", "struct", "tempfile", "textwrap", "time", "timeit",
    "tokenize", "tomllib", "traceback", "typing", "unicodedata", "urllib.parse", "uuid",
    "weakref", "xml.etree.ElementTree", "zipfile", "zlib", "zoneinfo",
    # Packages that take long to import.
    "numpy", "pandas", "lxml.etree", "bs4", "yaml", "regex", "sqlite3", "networkx",
    "charset_normalizer", "cloudpickle", "dateutil.parser",
    "matplotlib.pyplot", "matplotlib.backends.backend_agg",
)  # fmt: skip
"""Imported before the base image is taken, so that importing them costs a space nothing. scipy and
scikit-learn are left out: they would make every image twice as large."""


@cache
def _sources() -> dict[str, str]:
    folder = resources.files(__package__).joinpath("guest")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        stem, _, suffix = file.name.partition(".")
        if suffix == "py" and stem != "_bootstrap":
            module = "rlm_guest" if stem == "__init__" else f"rlm_guest.{stem}"
            found[module] = file.read_text(encoding="utf-8")
    return found


def bootstrap_source() -> str:
    """The source of the turn that installs the guest's code."""
    file = resources.files(__package__).joinpath("guest", "_bootstrap.py")
    return file.read_text(encoding="utf-8")


def bootstrap_request(*, libraries: bool = True) -> bytes:
    """What the bootstrap turn asks for.

    Args:
        libraries: whether to import the common libraries too; not needed where the code of an
            existing space is replaced.
    """
    names = LIBRARIES if libraries else ()
    return json.dumps({"sources": _sources(), "libraries": names}).encode()


@cache
def guest_version() -> str:
    """A digest of all that the project puts into a base image."""
    digest = hashlib.sha256(bootstrap_source().encode() + bootstrap_request())
    return digest.hexdigest()[:16]


def library_count() -> int:
    """How many libraries the bootstrap turn imports."""
    return len(LIBRARIES)
