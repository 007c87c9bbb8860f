"""Points at which a test can end the process, to show that nothing depends on luck.

Off unless RLM_MCP_FAULT names a point, such as `commit:row`; `commit:row:3` means its third time.
"""

from __future__ import annotations

import os
import signal

_name, _, _times = os.environ.get("RLM_MCP_FAULT", "").rpartition(":")
if not _times.isdigit():
    _name, _times = f"{_name}:{_times}".strip(":"), "1"
_left = int(_times)


def point(name: str) -> None:
    """Die here, if a test asked for it, as `kill -9` would have it."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
