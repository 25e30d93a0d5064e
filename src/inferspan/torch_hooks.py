"""PyTorch's hooks as users of ours hold them: whose they are, and how they are taken out."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import torch


class Hooks:
    """Hooks in a module; `remove()`, or the end of a `with` block, takes them out.

    Args:
        handles: what PyTorch gave for each.
    """

    def __init__(self, handles: list[Any]) -> None:
        self._handles = handles

    def remove(self) -> None:
        """Take the hooks out; once more does nothing."""
        while self._handles:
            self._handles.pop().remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def module_of(what: str, model: object) -> torch.nn.Module:
    """The module itself, of what `inferspan.wrap` made of it too.

    Args:
        what: the function that it was given to, for the error.
        model: what was given.

    Raises:
        TypeError: no module.
    """
    module = getattr(model, "__wrapped__", model)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"{what}() got a {type(model).__name__}: must be a torch.nn.Module")
    return module
