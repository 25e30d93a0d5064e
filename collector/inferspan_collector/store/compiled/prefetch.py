"""Memory asked for before it is needed, compiled: cache misses of several rows at a time.

A row's place in a table of many MiB is known from its hash alone. Who asks for the places of the
rows that come next waits for one miss where he would have waited for each (Chen, Ailamaki, Gibbons,
Mowry, "Improving hash join performance through prefetching", 2004).
"""

from __future__ import annotations

from typing import Any, Final, cast

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

AHEAD: Final = 16
"""Rows between asking and using: a miss is some 100 ns, a row's own work 5 to 20."""
_TO_READ, _TO_KEEP, _DATA = 0, 3, 1
_code: Any = cgutils


def _prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of an element, and do not wait; `index` is within the array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        of = signature.args[0]
        held = context.make_array(of)(context, builder, arguments[0])
        at = _code.get_item_pointer(context, builder, of, held, [arguments[1]])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        ask = _code.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        how = [number(value) for value in (_TO_READ, _TO_KEEP, _DATA)]
        builder.call(ask, [builder.bitcast(at, byte), *how])
        return context.get_dummy_value()

    return types.void(array, index), generate


prefetch: Any = cast(Any, intrinsic)(_prefetch)
