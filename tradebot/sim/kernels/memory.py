"""One market's state is one block of 64-bit words; compiled code gets its address, typed, and nothing else.

Why not arrays in a tuple or a struct: each call would pass and count references on dozens of arrays, which costs as
much as the matching itself, and numba cannot keep code on disk that holds foreign pointers. A `Handle` is one register.
Nothing here checks bounds: only `simulator` creates blocks, from a `Feed` that has looked through every row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, box, intrinsic, models, register_model, typeof_impl, unbox

from tradebot.sim.kernels.jit import compiled

Words = list[int]
"""What a view of a block looks like to the type checker; in compiled code an int64 array."""
Floats = list[float]


class Handle:
    """The address of one block. The Python object that made it keeps the memory alive."""

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address


class HandleType(types.Type):
    """numba's side of Handle."""

    def __init__(self) -> None:
        super().__init__(name="tradebot.sim.Handle")


handle_type = HandleType()


@typeof_impl.register(Handle)
def _typeof_handle(_value: object, _context: object) -> HandleType:
    return handle_type


@register_model(HandleType)
class _HandleModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, manager[types.int64].get_value_type())


@unbox(HandleType)
def _unbox_handle(_kind: Any, value: Any, context: Any) -> NativeValue:
    attribute = context.pyapi.object_getattr_string(value, "address")
    native = context.pyapi.long_as_longlong(attribute)
    context.pyapi.decref(attribute)
    return NativeValue(native, is_error=cgutils.is_not_null(context.builder, context.pyapi.err_occurred()))


@box(HandleType)
def _box_handle(_kind: Any, value: Any, context: Any) -> Any:
    maker = context.pyapi.unserialize(context.pyapi.serialize_object(Handle))
    address = context.pyapi.long_from_longlong(value)
    handle = context.pyapi.call_function_objargs(maker, (address,))
    context.pyapi.decref(address)
    context.pyapi.decref(maker)
    return handle


@intrinsic
def _address_of(_context: Any, _handle: Any) -> Any:
    def codegen(_context: Any, _builder: Any, _signature: Any, arguments: Any) -> Any:
        return arguments[0]

    return types.int64(handle_type), codegen


@intrinsic
def _handle_at(_context: Any, _address: Any) -> Any:
    def codegen(_context: Any, _builder: Any, _signature: Any, arguments: Any) -> Any:
        return arguments[0]

    return handle_type(types.int64), codegen


@intrinsic
def _pointer(_context: Any, _address: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@intrinsic
def _call_runner(_context: Any, _address: Any, _handle: Any, _limit: Any, _stop: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        function = ir.FunctionType(word, [word, word, word])
        return builder.call(builder.inttoptr(arguments[0], function.as_pointer()), arguments[1:])

    return types.int64(types.int64, handle_type, types.int64, types.int64), codegen


call_runner = cast(Callable[[int, Handle, int, int], int], _call_runner)
"""Call the compiled function (handle, int64, int64) -> int64 at an address."""
address_of = cast(Callable[[Handle], int], _address_of)
"""Return a handle's address."""
handle_at = cast(Callable[[int], Handle], _handle_at)
"""Return the handle of a block whose address another block holds."""
_view: Any = numba.carray  # type: ignore[attr-defined]
_at: Any = _pointer
# The length is only for numba's wraparound of negative indices, which kernels never use.
_ANY_LENGTH = 1 << 40


@compiled
def words_at(address: int) -> Words:
    """View memory as int64."""
    return _view(_at(address), (_ANY_LENGTH,), np.int64)  # type: ignore[no-any-return]


@compiled
def floats_at(address: int) -> Floats:
    """View memory as float64."""
    return _view(_at(address), (_ANY_LENGTH,), np.float64)  # type: ignore[no-any-return]


@compiled
def bytes_at(address: int) -> Words:
    """View memory as uint8."""
    return _view(_at(address), (_ANY_LENGTH,), np.uint8)  # type: ignore[no-any-return]


@compiled
def words(handle: Handle) -> Words:
    """View a handle's block as int64."""
    return _view(_at(address_of(handle)), (_ANY_LENGTH,), np.int64)  # type: ignore[no-any-return]


@compiled
def floats(handle: Handle) -> Floats:
    """View a handle's block as float64."""
    return _view(_at(address_of(handle)), (_ANY_LENGTH,), np.float64)  # type: ignore[no-any-return]
