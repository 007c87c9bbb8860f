"""Everything about spaces that must not be lost: commits, page data, names of states."""

from . import _faults as faults
from ._answers import Answers, KeptAnswer, Spending
from ._commits import Commit
from ._history import Tidied
from ._opening import Opened
from ._reading import Step, StoreReader
from ._spaces import SpaceRow
from ._spans import INTERRUPTED, RUNNING, SpanRow, SpanTable
from ._store import Store
from ._views import ViewRow
from ._writing import Writer

__all__ = [
    "INTERRUPTED",
    "RUNNING",
    "Answers",
    "Commit",
    "KeptAnswer",
    "Opened",
    "SpaceRow",
    "SpanRow",
    "SpanTable",
    "Spending",
    "Step",
    "Store",
    "StoreReader",
    "Tidied",
    "ViewRow",
    "Writer",
    "faults",
]
