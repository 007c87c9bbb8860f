"""Files without a name, for what goes to a worker or comes from it."""

from __future__ import annotations

import os


def scratch_file(data: bytes = b"") -> int:
    """A descriptor of a new file that has no name; in memory where the kernel has that.

    Args:
        data: what it holds.

    Raises:
        OSError: there is no room for it.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("rlm-mcp")
    else:
        import tempfile

        descriptor, path = tempfile.mkstemp(prefix="rlm-mcp-")
        os.unlink(path)  # noqa: PTH108
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
