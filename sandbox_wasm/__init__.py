"""What runs inside the guest: its sources, the pin of its artefact, and what it imports."""

from ._artefact import (
    ARTEFACT,
    LIBRARY_NAME,
    MODULE_NAME,
    Artefact,
    ArtefactFiles,
    digest_of,
    locate,
)
from ._guest_code import ENTRY, bootstrap_request, bootstrap_source, guest_version

__all__ = [
    "ARTEFACT",
    "ENTRY",
    "LIBRARY_NAME",
    "MODULE_NAME",
    "Artefact",
    "ArtefactFiles",
    "bootstrap_request",
    "bootstrap_source",
    "digest_of",
    "guest_version",
    "locate",
]
