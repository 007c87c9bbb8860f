"""The domain: spaces, what bounds them, and what they return."""

from ._space import Space
from ._spaces import SpaceInfo, Spaces, check_handle, new_handle
from ._values import WAITS, Change, Execution, Limits, Loaded, Suspension, Variable
from ._view_search import search_program
from ._views import MAX_SLOTS, Views

__all__ = [
    "MAX_SLOTS",
    "WAITS",
    "Change",
    "Execution",
    "Limits",
    "Loaded",
    "Space",
    "SpaceInfo",
    "Spaces",
    "Suspension",
    "Variable",
    "Views",
    "check_handle",
    "new_handle",
    "search_program",
]
