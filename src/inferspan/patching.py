"""Methods of classes and of all their subclasses, replaced and put back exactly as they were.

What stood in a class before is kept with what stands there now, so that nothing here holds a class
that its owner lets go of.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from types import FunctionType
from typing import Any, Final, cast

from inferspan.containment import Contained

Maker = Callable[[Any], Any]
"""What stands in a class → what shall stand there; None = leave it."""

_ABSENT: Final = object()
_KEY: Final = "__inferspan_patch__"
_INIT_SUBCLASS: Final = "__init_subclass__"
_NOT_TO_PATCH: Final = frozenset(("builtins", "abc", "typing"))
_COVER: Final = Contained("replace methods of a class")


class _Patch:
    __slots__ = ("original", "replacement", "wanted_by")

    def __init__(self, original: object, replacement: object) -> None:
        self.original = original
        self.replacement = replacement
        self.wanted_by: set[str] = set()


@dataclass(frozen=True, slots=True)
class _Covered:
    kinds: tuple[type, ...]
    makers: Mapping[str, Maker]


_lock: Final = threading.RLock()
_patched: Final[weakref.WeakSet[type]] = weakref.WeakSet()
_covered: Final[dict[str, _Covered]] = {}
_making: Final = threading.local()


def cover(wanted_by: str, kinds: tuple[type, ...], makers: Mapping[str, Maker]) -> None:
    """Replace methods of classes, and of all subclasses there are and will be.

    Replaced once, whoever wants it, and in the ancestor that defines them.

    Args:
        wanted_by: who wants it, for `restore`.
        kinds: the classes.
        makers: name of a method → what makes what stands there.
    """
    with _lock:
        _covered[wanted_by] = _Covered(kinds, makers)
        for kind in kinds:
            with _COVER:
                _replace(kind, _INIT_SUBCLASS, wanted_by, _watched, add=True)
            for descendant in _with_descendants(kind):
                _patch(descendant, wanted_by, makers)


def restore(wanted_by: str) -> None:
    """Put back what only `wanted_by` wanted replaced.

    What somebody else has replaced since stays as it is: theirs calls ours, which by then does
    nothing but call what was there before.
    """
    with _lock:
        _covered.pop(wanted_by, None)
        for owner in list(_patched):
            left = [_put_back(owner, name, wanted_by) for name in list(vars(owner))]
            if not any(left):
                _patched.discard(owner)


def _put_back(owner: type, name: str, wanted_by: str) -> bool:
    """Put one attribute back; answers whether somebody else wants it replaced."""
    patch = _patch_of(vars(owner)[name])
    if patch is None:
        return False
    patch.wanted_by.discard(wanted_by)
    if patch.wanted_by:
        return True
    if patch.original is _ABSENT:
        delattr(owner, name)
    else:
        setattr(owner, name, patch.original)
    return False


def _patch_of(entry: object) -> _Patch | None:
    held = getattr(entry, "__dict__", {}).get(_KEY)
    # `functools.wraps` of others copies what a function holds, and is not ours for that.
    return held if isinstance(held, _Patch) and held.replacement is entry else None


def _replace(owner: type, name: str, wanted_by: str, make: Maker, *, add: bool = False) -> None:
    entry = vars(owner).get(name, _ABSENT)
    if entry is _ABSENT and not add:
        return
    patch = _patch_of(entry)
    if patch is None:
        replacement = make(None if entry is _ABSENT else _to_call(entry))
        if replacement is None:
            return
        patch = _Patch(entry, replacement)
        replacement.__dict__[_KEY] = patch
        setattr(owner, name, replacement)
        _patched.add(owner)
    patch.wanted_by.add(wanted_by)


def _to_call(entry: Any) -> Any:
    """What a maker is given: an entry, but for a proxy of others a function in its place.

    A proxy says that it is a function, and wants to be bound all the same.
    """
    is_proxy = isinstance(entry, FunctionType) and type(entry) is not FunctionType
    return bound_anew(entry, entry) if is_proxy else entry


def bound_anew(entry: Any, like: Callable[..., Any]) -> FunctionType:
    """A function that calls what stands in a class as the class would: bound to the object.

    Args:
        entry: a descriptor; what is none is called without the object.
        like: has name, signature and shape of the function.
    """

    def bound(model: object) -> Any:
        bind = getattr(type(entry), "__get__", None)
        return entry if bind is None else bind(entry, model, type(model))

    if inspect.iscoroutinefunction(like):

        @wraps(like)
        async def answered(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            return await bound(model)(*args, **kwargs)

        return cast("FunctionType", answered)

    @wraps(like)
    def called(model: Any, /, *args: Any, **kwargs: Any) -> Any:
        return bound(model)(*args, **kwargs)

    return cast("FunctionType", called)


def _patch(kind: type, wanted_by: str, makers: Mapping[str, Maker]) -> None:
    """Replace the methods of a class, wherever among its ancestors they stand."""
    for owner in kind.__mro__:
        if owner.__module__ not in _NOT_TO_PATCH:
            with _COVER:
                for name, make in makers.items():
                    _replace(owner, name, wanted_by, make)
                _replace(owner, _INIT_SUBCLASS, wanted_by, _watched)


def _with_descendants(kind: type) -> list[type]:
    found, seen = [kind], {kind}
    for known in found:
        children: list[type] = type.__subclasses__(known)
        found.extend(child for child in children if child not in seen)
        seen.update(children)
    return found


def _watched(original: Any) -> Any:
    """An `__init_subclass__` after which the new class is patched.

    The outermost of a chain of them does it: others replace methods of the class themselves.
    """

    def __init_subclass__(cls: type, /, **kwargs: Any) -> None:
        began = getattr(_making, "of", None)
        _making.of = cls
        try:
            if original is not None:
                original.__get__(None, cls)(**kwargs)
            else:
                owner: Any = next(
                    c for c in cls.__mro__ if vars(c).get(_INIT_SUBCLASS) is replacement
                )
                super(owner, cls).__init_subclass__(**kwargs)
        finally:
            _making.of = began
        if began is not cls:
            with _COVER, _lock:
                for wanted_by, covered in _covered.items():
                    if issubclass(cls, covered.kinds):
                        _patch(cls, wanted_by, covered.makers)

    replacement: Any = classmethod(__init_subclass__)
    return replacement
