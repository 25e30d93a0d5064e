"""Compiled functions optimised once: all that an entry calls, together with it.

Numba optimises every function by itself, with a copy of all that it calls, and makes machine code
of each: what stands four calls below an entry went through LLVM five times, and four of the
results were thrown away. Here a part is only kept, and goes into the entries that need it. As
nobody else can call it there, LLVM knows all its callers, and makes faster code.

A third of the rest was to look up what operators give for numbers: that is remembered.

Numba offers this as `pipeline_class` of its decorators; of what a library of code does inside, we
change what is named here. `tests/collector/test_whole_program.py` holds it to what it should do.
See docs/decisions/0062-compiled-once-per-entry.md.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, cast

from numba.core import types
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.environment import lookup_environment
from numba.core.typing.context import Context


class _Gathering(JITCodeLibrary):
    """Code, and the code of all that it calls: each function by itself so far."""

    def add_linking_library(self, library: Any) -> None:
        """Take what a callee consists of, once."""
        library._ensure_finalized()
        within = library._linking_libraries if isinstance(library, PartLibrary) else ()
        for one in (library, *within):
            if one not in self._linking_libraries:
                self._linking_libraries.append(one)


class PartLibrary(_Gathering):
    """Code of a part: there is nothing to run before an entry has it."""

    @property
    def codegen(self) -> Any:
        """Who sets environments: an entry does that for its parts."""
        return self

    def set_env(self, name: str, environment: Any) -> None:
        """Nothing: see `codegen`."""

    def finalize(self) -> None:
        """Take no more code."""
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """There is none."""
        self._ensure_finalized()
        return 0


class EntryLibrary(_Gathering):
    """Code of an entry and all its parts: optimised, compiled and kept as one."""

    def _optimize_final_module(self) -> None:
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage.name == "linkonce_odr":
                function.linkage = "internal"
        super()._optimize_final_module()

    def _finalize_specific(self) -> None:
        super()._finalize_specific()
        # The parts' own too: they had no place in memory before.
        codegen: Any = self._codegen
        for variable in self._final_module.global_variables:
            environment = lookup_environment(variable.name)
            if environment is not None:
                codegen.set_env(variable.name, environment)


class _Remembering(Context):
    """A typing context that remembers what Numba's own functions give for numbers.

    It asks every rule that there is for such a name, twice, whenever it comes up; the answer
    follows from the types of the arguments alone.
    """

    known: dict[Any, Any]

    def resolve_function_type(self, function: Any, arguments: Any, named: Any) -> Any:
        """The signature of a call; None where there is none."""
        if named or not isinstance(function, types.Function) or not all(map(_plain, arguments)):
            return super().resolve_function_type(function, arguments, named)
        asked = function, arguments
        if asked not in self.known:
            found = super().resolve_function_type(function, arguments, named)
            if found is None:
                return None
            self.known[asked] = found
        return self.known[asked]


def _plain(argument: Any) -> bool:
    return isinstance(argument, (types.Number, types.Boolean))


@functools.cache
def _remembering(context: Any) -> Any:
    # The same declarations, and those that come later: Numba's containers are shared.
    ours = copy.copy(context)
    ours.__class__ = _Remembering
    ours.known = {}
    return ours


class PartCompiler(Compiler):
    """For functions that only compiled functions call."""

    library: Callable[..., Any] = PartLibrary

    def __init__(self, context: Any, *rest: Any) -> None:
        super().__init__(_remembering(context), *rest)

    def compile_extra(self, function: Any) -> Any:
        """Compile a function for the types at hand."""
        library = self.library(self.state.targetctx.codegen(), function.__qualname__)
        library.enable_object_caching()
        self.state.library = library
        return super().compile_extra(function)


class EntryCompiler(PartCompiler):
    """For functions that Python calls."""

    library = cast(Callable[..., Any], EntryLibrary)
