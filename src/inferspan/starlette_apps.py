"""Every application of Starlette and FastAPI gets `PredictionMiddleware`, without a line in it.

What is patched: the public method `build_middleware_stack` of `starlette.applications.Starlette`
and its subclasses, before whose first call the middleware joins those that the application added,
as the outermost. One that it added itself stays the only one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, Final

from inferspan import patching
from inferspan.asgi import PredictionMiddleware
from inferspan.containment import Contained

LIBRARY: Final = "starlette"
_COVER: Final = Contained("give applications of Starlette a middleware")
_ADD: Final = Contained("add a middleware to an application of Starlette")


def cover_when_imported() -> None:
    """Cover applications once Starlette is imported, which need not be."""
    import wrapt  # loads asyncio

    wrapt.register_post_import_hook(_cover, "starlette.applications")


def _cover(module: Any) -> None:
    with _COVER:
        patching.cover(LIBRARY, (module.Starlette,), {"build_middleware_stack": _adding})


def _adding(entry: object) -> Callable[..., Any] | None:
    if not isinstance(entry, FunctionType):
        return None
    build = entry

    @wraps(build)
    def build_middleware_stack(app: Any, /, *args: Any, **kwargs: Any) -> Any:
        with _ADD:
            from starlette.middleware import Middleware

            added = app.user_middleware
            if not any(one.cls is PredictionMiddleware for one in added):
                added.insert(0, Middleware(PredictionMiddleware))
        return build(app, *args, **kwargs)

    return build_middleware_stack
