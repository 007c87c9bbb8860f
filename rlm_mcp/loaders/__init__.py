"""Opening sources and targets inside the allowed folders, without ever reading what they mean."""

from ._address import public_form
from ._bundle import Bundle, Entry, Origin, inline, scratch
from ._command import Command, read_commands, run_command
from ._convert import convert, converted
from ._identity import Identity, difference, identify
from ._open import FORMATS, Format, open_source
from ._parse import parse
from ._pattern import has_magic
from ._roots import Roots
from ._stream import Spool, from_stream
from ._target import Target, open_target
from ._url import UrlRules, fetch, is_url

__all__ = [
    "FORMATS",
    "Bundle",
    "Command",
    "Entry",
    "Format",
    "Identity",
    "Origin",
    "Roots",
    "Spool",
    "Target",
    "UrlRules",
    "convert",
    "converted",
    "difference",
    "fetch",
    "from_stream",
    "has_magic",
    "identify",
    "inline",
    "is_url",
    "open_source",
    "open_target",
    "parse",
    "public_form",
    "read_commands",
    "run_command",
    "scratch",
]
