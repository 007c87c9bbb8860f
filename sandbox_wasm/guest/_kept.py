"""What this package remembers in a space beyond its own version.

A newer version takes the place of all its modules, so what must last lies in a module apart, as
plain values: an instance of a class would stay one of the older version's.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_NAME = "_rlm_kept"


def table(name: str) -> dict[Any, Any]:
    """The table of a name, made when it is first asked for."""
    module = sys.modules.setdefault(_NAME, ModuleType(_NAME))
    found: dict[Any, Any] = module.__dict__.setdefault(f"table_{name}", {})
    return found
