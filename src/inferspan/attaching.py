"""What is current in OpenTelemetry: its own functions, without the two frames that each costs.

Its usual runtime context is a context variable; the tokens it hands out name it. Where another was
chosen by `OTEL_PYTHON_CONTEXT`, its functions are used as they are, even if it is built on a
context variable: what it does beside is its own affair.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext


def _variable() -> ContextVar[Context] | None:
    probe = Context()
    try:
        token: object = otel_context.attach(probe)
    except Exception:  # of a runtime context of the user's, to be met again at the first call
        return None
    try:
        if type(vars(otel_context).get("_RUNTIME_CONTEXT")) is not ContextVarsRuntimeContext:
            return None
        kept = token.var if type(token) is Token else None
        return kept if kept is not None and kept.get(None) is probe else None
    finally:
        otel_context.detach(token)  # type: ignore[arg-type]


_found: Final = _variable()

current: Final[Callable[[], Context]] = otel_context.get_current if _found is None else _found.get
"""The context of this thread or task."""
attach: Final[Callable[[Context], Token[Context]]] = (
    otel_context.attach if _found is None else _found.set
)
"""Make a context current; answers what `detach` takes."""
detach: Final[Callable[[Any], None]] = otel_context.detach if _found is None else _found.reset
"""Make current again what was so before. Unlike OpenTelemetry's, it raises what goes wrong in it,
and with that what a signal handler of the user's raises."""
