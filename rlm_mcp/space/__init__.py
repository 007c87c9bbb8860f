"""The domain: spaces, what bounds them, and what they return."""

from ._space import Space
from ._spaces import SpaceInfo, Spaces, check_handle, new_handle
from ._values import Change, Execution, Limits, Loaded, Variable

__all__ = [
    "Change",
    "Execution",
    "Limits",
    "Loaded",
    "Space",
    "SpaceInfo",
    "Spaces",
    "Variable",
    "check_handle",
    "new_handle",
]
