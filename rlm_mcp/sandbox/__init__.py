"""A guest that runs turns: its engine, its memory, its worker process, and the way between."""

from ..worker._interrupt import StopPoint
from ..worker._layout import Layout, Run, unpack
from ..worker._memory import PAGE, WASM_PAGE
from ._answer import Answerer, WithFile, refuse_calls
from ._cache import BaseImage, Cache
from ._clock import Clock
from ._guest import Changes, Guest, State
from ._pool import WorkerPool
from ._prepare import Preparation
from ._process import Handed, WorkerDiedError, WorkerProcess
from ._read import is_too_fine, text_of
from ._scratch import scratch_file
from ._stop import GRACE_SECONDS, LostError

__all__ = [
    "GRACE_SECONDS",
    "PAGE",
    "WASM_PAGE",
    "Answerer",
    "BaseImage",
    "Cache",
    "Changes",
    "Clock",
    "Guest",
    "Handed",
    "Layout",
    "LostError",
    "Preparation",
    "Run",
    "State",
    "StopPoint",
    "WithFile",
    "WorkerDiedError",
    "WorkerPool",
    "WorkerProcess",
    "is_too_fine",
    "refuse_calls",
    "scratch_file",
    "text_of",
    "unpack",
]
