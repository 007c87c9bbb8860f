"""One running guest: an instance of the module, its memory, and its door to the host."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType

from wasmtime import (
    Engine,
    Func,
    FuncType,
    Linker,
    Module,
    Store,
    Trap,
    ValType,
    WasmtimeError,
    _ffi,
)
from wasmtime import Memory as WasmMemory

from ._files import GuestFiles
from ._memory import WASM_PAGE, Memory
from ._wasi import Wasi, guarded

ANSWERED, NO_HOST, HOST_FAULT = 0, -1, -2


class Instance:
    """A guest that runs turns; used by one thread only, one with a large stack.

    Args:
        engine: from `make_engine`.
        module: the compiled guest.
        files: what the guest can open.
        call: answers what the guest asks through its door; `None` is a fault. It runs on the
            guest's thread while the guest waits.
    """

    def __init__(
        self,
        engine: Engine,
        module: Module,
        files: GuestFiles,
        call: Callable[[bytes], bytes | None],
    ) -> None:
        self._store = Store(engine)
        self._call = call
        self.wasi = Wasi(lambda: self.memory, files)
        linker = Linker(engine)
        self.wasi.define(linker)
        i32 = ValType.i32()
        linker.define_func("host", "call", FuncType([i32] * 4, [i32]), guarded(self._door, "iiii"))
        exports = linker.instantiate(self._store, module).exports(self._store)
        memory, turn, allocate = exports["memory"], exports["turn"], exports["host_alloc"]
        assert isinstance(memory, WasmMemory)
        assert isinstance(turn, Func)
        assert isinstance(allocate, Func)
        self._memory, self._turn = memory, turn
        self._allocate = _OneToOne(self._store, allocate)
        self.memory = Memory(
            ctypes.addressof(memory.data_ptr(self._store).contents),
            lambda: memory.data_len(self._store),
        )

    def _door(self, address: int, length: int, out_address: int, out_length: int) -> int:
        answer = self._call(self.memory.read(address, length))
        if answer is None:
            return HOST_FAULT
        place = self._put(answer) if answer else 0
        if place is None:
            return HOST_FAULT
        self.memory.write_u32(out_address, place)
        self.memory.write_u32(out_length, len(answer))
        return ANSWERED

    def _put(self, data: bytes) -> int | None:
        place = self._allocate(len(data))
        if place == 0:
            return None
        self.memory.write(place, data)
        return place

    def turn(self, source: str) -> int:
        """Run source in the guest's `__main__`.

        Returns:
            0 when it ran, 1 when it raised, -1 when the interpreter is unusable.

        Raises:
            wasmtime.Trap: the guest's stack is exhausted, or it broke; the instance is lost.
            GuestExitError: the guest called `proc_exit`; the instance is lost.
        """
        data = source.encode()
        place = self._put(data)
        if place is None:
            return -1
        status: int = self._turn(self._store, place, len(data))
        return status

    def limit_memory(self, limit: int) -> None:
        """Set the most bytes that the guest's memory may grow to."""
        self._store.set_limits(memory_size=limit)

    def grow_to(self, size: int) -> None:
        """Grow the memory to at least a size in bytes.

        Raises:
            wasmtime.WasmtimeError: the size is over the limit.
        """
        missing = size - self.memory.size
        if missing > 0:
            self._memory.grow(self._store, -(-missing // WASM_PAGE))

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        self._store.close()

    def __enter__(self) -> Instance:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _OneToOne:
    """A function of one i32 to one i32, called without what wasmtime's Python package adds.

    Its `Func` asks for the type and converts through objects at each call, which is most of
    what a call of the guest's allocator costs (81 against 40 microseconds for a host call).
    """

    def __init__(self, store: Store, function: Func) -> None:
        self._store, self._function = store, function
        self._argument = (_ffi.wasmtime_val_t * 1)()
        self._argument[0].kind = _ffi.WASMTIME_I32
        self._result = (_ffi.wasmtime_val_t * 1)()

    def __call__(self, value: int) -> int:
        self._argument[0].of.i32 = value
        trap = ctypes.POINTER(_ffi.wasm_trap_t)()
        error = _ffi.wasmtime_func_call(
            self._store._context(),
            ctypes.byref(self._function._func),
            self._argument,
            1,
            self._result,
            1,
            ctypes.byref(trap),
        )
        if error:
            raise WasmtimeError._from_ptr(error)
        if trap:
            raise Trap._from_ptr(trap)
        return int(self._result[0].of.i32) & 0xFFFFFFFF
