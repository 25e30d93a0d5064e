"""Traced functions and methods: proxies that pickle and copy as functions and methods do."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType, MethodType
from typing import Any

import wrapt

# Asked for in calls, and loaded before the first: a child that is forked while a thread imports
# waits for that import for ever.
import inferspan.references  # noqa: F401
from inferspan.calls import CallShape, Start, caller_of, wrapper_of


class _ReducedByItself:
    """Makes cloudpickle, and joblib's and others' copies of it, ask a proxy how it is pickled.

    They take whatever says that it is a function for a plain one, and send its code: what arrives
    would not be traced. While they ask, a proxy says that it is a proxy.
    """

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        caller = sys._getframe(1)
        if caller.f_code.co_name == "reducer_override" and _is_cloudpickle(caller):
            return type(self)
        return self.__wrapped__.__class__  # type: ignore[attr-defined]


class _MadeAsMethodsAre(type(wrapt.ObjectProxy)):  # type: ignore[misc]
    """Lets who has a method's type make one of a function and an object: `weakref.WeakMethod`.

    Making a proxy is on the path of every call of a method, so it goes around, by `type.__call__`.
    """

    def __call__(cls, function: Any, instance: object) -> Any:
        if isinstance(function, TracedFunction):
            return function.__get__(instance, type(instance))
        found = getattr(instance, getattr(function, "__name__", ""), None)
        own = getattr(found, "__func__", None) is function
        return found if own else MethodType(function, instance)


class AttributeProxy(
    _ReducedByItself,
    wrapt.FunctionWrapper,  # type: ignore[type-arg]
    metaclass=_MadeAsMethodsAre,
):
    """A method of an object or class; pickles and copies as that attribute of it."""

    # No annotation: the class would have some then, and hide the method's.
    of = classmethod(type.__call__)  # type: ignore[var-annotated]
    """Make one, of what `__init__` takes."""

    def __init__(self, owner: object, name: str, method: Callable[..., Any], call: Any) -> None:
        super().__init__(method, call)
        self._self_owner_and_name = (owner, name)

    @property
    def __self__(self) -> Any:
        _ = self.__wrapped__.__self__  # type: ignore[attr-defined]  # else it is bound to nothing
        return self._self_owner_and_name[0]

    def __reduce_ex__(self, protocol: object) -> Any:
        return getattr, self._self_owner_and_name

    def __reduce__(self) -> Any:
        return getattr, self._self_owner_and_name

    def __copy__(self) -> Any:
        return getattr(*self._self_owner_and_name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        owner, name = self._self_owner_and_name
        return getattr(copy.deepcopy(owner, memo), name)


class BoundTracedFunction(
    _ReducedByItself,
    wrapt.BoundFunctionWrapper,  # type: ignore[type-arg]
    metaclass=_MadeAsMethodsAre,
):
    """A traced function, bound; pickles and copies as the attribute of its owner."""

    @property
    def __func__(self) -> Any:
        function = self.__wrapped__.__func__  # type: ignore[attr-defined]
        holder = self._self_parent
        # A `classmethod` object cannot be called itself.
        return function if isinstance(holder.__wrapped__, classmethod) else holder

    def __reduce_ex__(self, protocol: object) -> Any:
        return getattr, (self._self_bound_to(), self.__wrapped__.__name__)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)

    def __copy__(self) -> Any:
        return getattr(self._self_bound_to(), self.__wrapped__.__name__)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return getattr(copy.deepcopy(self._self_bound_to(), memo), self.__wrapped__.__name__)

    def _self_bound_to(self) -> Any:
        return self._self_instance if self._self_instance is not None else self._self_owner


class TracedFunction(_ReducedByItself, wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A function under a span. It pickles by reference, and copies are itself, as functions do.

    Args:
        function: the user's.
        start: begins the span of a call.
        binds: whether binding takes the first parameter of the signature.
        again: what makes it again where it cannot be found by its name: a function of the user's
            function and of one thing more, and that thing.
    """

    # What a call of it runs, one for each function: wrapt's own call costs as much as three others.
    __slots__ = ("__call__",)
    # Binding is on the path of every call of a method, so it goes around what stands in for it.
    # No annotation: the class would have some then, and hide the function's.
    __bound_function_wrapper__ = staticmethod(partial(type.__call__, BoundTracedFunction))  # type: ignore[assignment]

    def __init__(
        self, function: Callable[..., Any], start: Start, binds: bool, again: tuple[Any, Any]
    ) -> None:
        shape = CallShape.of(function)
        super().__init__(function, wrapper_of(shape, start, binds))
        # Not by assignment, which reaches the user's function.
        vars(TracedFunction)["__call__"].__set__(self, caller_of(shape, start, function))
        self._self_again = again

    def __reduce_ex__(self, protocol: object) -> Any:
        caller = sys._getframe(1)
        # To cloudpickle, what stands in __main__ has no name: the process that gets it has another.
        if self.__module__ != "__main__" or not _is_cloudpickle(caller):
            name = getattr(self.__wrapped__, "__qualname__", None)
            module = sys.modules.get(getattr(self.__wrapped__, "__module__", None) or "")
            if name is not None and _found(module, name) is self:
                return name
        make, told = self._self_again
        return make, (self.__wrapped__, told)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: object) -> Any:
        return self


def _is_cloudpickle(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).endswith("cloudpickle")


def _found(module: object, qualified_name: str) -> object:
    for name in qualified_name.split("."):
        module = getattr(module, name, None)
    return module
