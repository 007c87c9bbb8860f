"""The wasmtime engine, configured the same way wherever the guest is compiled or loaded.

Compiled code is bound to these settings, so there is one place for them. Neither epochs nor
fuel are on: they cost 14 % and 40 % of the speed of a loop, and code is stopped by other means
(see `_interrupt`).
"""

from __future__ import annotations

import ctypes
from pathlib import Path

from wasmtime import Config, Engine, Module, WasmtimeError, _ffi

from ..errors import SandboxError

WASM_STACK = 8 << 20
"""Bytes of stack for guest code; deeper recursion is a trap."""
THREAD_STACK = 64 << 20
"""Bytes of stack of the thread that enters the guest. With less than about 10 MiB a deep
recursion in the guest ends the process instead of trapping."""


def make_engine() -> Engine:
    """An engine with the project's settings."""
    config = Config()
    # wasmtime aborts the process when max_wasm_stack exceeds the async stack size, which its
    # Python package has no setter for.
    setter = _ffi.dll.wasmtime_config_async_stack_size_set
    setter.restype = None
    setter.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    setter(ctypes.cast(config.ptr(), ctypes.c_void_p), 2 * WASM_STACK)
    config.max_wasm_stack = WASM_STACK
    return Engine(config)


def load_module(engine: Engine, path: Path) -> Module:
    """Map a compiled guest.

    Args:
        engine: from `make_engine`.
        path: the compiled file; it is native code and must be the user's own.

    Raises:
        SandboxError: the file is damaged or of another version of wasmtime.
    """
    try:
        return Module.deserialize_file(engine, str(path))
    except WasmtimeError as error:
        raise SandboxError(
            f"the compiled guest cannot be loaded ({str(error).splitlines()[0]}); "
            "run `rlm-mcp setup --force` to make it again"
        ) from error
