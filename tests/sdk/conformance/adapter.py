"""What the cases know of a tracing SDK: how it wraps a function, and what it recorded.

The cases say what wrapping must not change. They import nothing of any SDK, so the same files judge
each: name another adapter as `CONFORMANCE_ADAPTER=module:object`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
Captured = Callable[[], Sequence["Recorded"]]

BREAKABLE = ("exporter", "processor", "sampler")
"""Parts of a pipeline that a user brings along."""


@dataclass(frozen=True)
class Recorded:
    """One ended span."""

    name: str
    id: int
    parent: int | None
    failed: bool
    attributes: Mapping[str, object]
    start_ns: int
    end_ns: int


class Adapter(Protocol):
    """One SDK."""

    shapes: Mapping[str, Wrap]
    """Every way in which it wraps a function, by name."""
    decorators: Mapping[str, Wrap]
    """Those of them that are decorators: they also go on methods, and on what is pickled."""
    program: str
    """For another process: source that imports `capture()`, a context manager of a sized
    collection of the spans that ended in it, and sets `trace`, a decorator."""

    def capture(self) -> AbstractContextManager[Captured]:
        """Record spans; the answer tells those that have ended, in that order."""

    def child(self) -> AbstractContextManager[object]:
        """A span of the SDK's own, as users open one inside a traced function."""

    def current(self) -> int | None:
        """The id of the span that is current here, if any."""

    def wrap_model(self, model: Any) -> Any:
        """Trace `model.predict`; None where the SDK does not do that."""

    def trace_all(self, function: Callable[..., Any], redactor: Any = None) -> Callable[..., Any]:
        """Wrap a function so that inputs and outputs are looked at as closely as possible."""

    def broken(self, part: str) -> AbstractContextManager[object]:
        """Send spans through a pipeline with a part that raises when used: of `BREAKABLE`."""

    def faults(self) -> list[BaseException]:
        """The SDK's own errors since this was asked last, however it hid them."""


def adapter_named(name: str | None) -> Adapter:
    """Ours, or the one that `module:object` names."""
    module, _, attribute = (name or "sdk.conformance.ours:ADAPTER").partition(":")
    return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
