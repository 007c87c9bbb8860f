"""Opening sources and targets inside the allowed folders, without ever reading what they mean."""

from ._bundle import Bundle, Entry, Origin, inline
from ._open import FORMATS, open_source
from ._roots import Roots
from ._target import Target, open_target

__all__ = [
    "FORMATS",
    "Bundle",
    "Entry",
    "Origin",
    "Roots",
    "Target",
    "inline",
    "open_source",
    "open_target",
]
