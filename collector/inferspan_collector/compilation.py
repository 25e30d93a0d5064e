"""How our compiled code is compiled: without the interpreter's lock, once per machine, and each
function once per entry that needs it (`whole_program`).

A directory of compiled code is compiled anew when any source in it changes: Numba's own cache looks
at the file of the function alone, not at those whose functions it calls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numba.core import config
from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator, UserWideCacheLocator

from inferspan_collector import whole_program
from inferspan_collector.whole_program import EntryCompiler, PartCompiler

_Function = TypeVar("_Function", bound=Callable[..., Any])


_HERE: Final = [Path(__file__), Path(whole_program.__file__)]
"""How code is compiled: that is part of what it was compiled from."""


class _ByDirectory:
    """A place for compiled code whose stamp covers every source beside the function's own."""

    _py_file: str

    def get_source_stamp(self) -> str:
        """A digest of all sources in the function's directory, and of what compiles them."""
        digest = hashlib.sha256()
        for path in (*_HERE, *sorted(Path(self._py_file).parent.glob("*.py"))):
            digest.update(path.read_bytes())
        return digest.hexdigest()


class GivenDirectory(_ByDirectory, UserProvidedCacheLocator):
    """Where `NUMBA_CACHE_DIR` says."""


class BesideTheSource(_ByDirectory, InTreeCacheLocator):
    """The source's `__pycache__`, if it can be written."""


class UsersDirectory(_ByDirectory, UserWideCacheLocator):
    """The user's cache directory: the package may stand where nothing can be written."""


_PLACES = ",".join(
    f"{__name__}.{place.__name__}" for place in (GivenDirectory, BesideTheSource, UsersDirectory)
)
_ENTRY: Final = {"pipeline_class": EntryCompiler, "no_cfunc_wrapper": True}
_PART: Final = {
    "pipeline_class": PartCompiler,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def constant(value: int) -> int:
    """A number for compiled functions to hand on: for each plain one they are compiled anew."""
    return cast(int, np.int64(value))


def part(function: _Function) -> _Function:
    """Compile a function that only compiled functions call."""
    return _compiled(function, **_PART)


def inlined(function: _Function) -> _Function:
    """The same, or what `part` made: its code stands where it is called. For few and hot places:
    each takes its time to compile.
    """
    plain = getattr(function, "py_func", function)
    return _compiled(plain, **_PART, forceinline=True)


def entry(function: _Function) -> _Function:
    """Compile a function that Python calls: on its first call, or from the disk.

    Where no place for it can be written it is compiled in each process; set `NUMBA_CACHE_DIR` to a
    directory that is kept.
    """
    settings = cast(Any, config)
    before = settings.CACHE_LOCATOR_CLASSES
    settings.CACHE_LOCATOR_CLASSES = _PLACES
    try:
        return _compiled(function, **_ENTRY, cache=True)
    except RuntimeError:  # no place can be written
        return _compiled(function, **_ENTRY)
    finally:
        settings.CACHE_LOCATOR_CLASSES = before


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether the disk holds compiled code of what `entry` made, from its sources as they are now.

    False as well where nothing can be kept.
    """
    cache_file = getattr(getattr(function, "_cache", None), "_cache_file", None)
    return cache_file is not None and bool(cache_file._load_index())


def _compiled(function: _Function, **options: Any) -> _Function:
    compile_it: Any = cast(Any, numba).njit(nogil=True, error_model="numpy", **options)
    return cast(_Function, compile_it(function))
