"""PyTorch: what chosen layers made within a prediction, as snapshots; nothing unless asked for.

    model = inferspan.wrap(net, model="digits", task="multiclass_classification")
    with inferspan.torch_layers.snapshots(net, ["encoder.*"]): ...

A prediction is a call of the wrapped module, or of a decorated function around it. Layers are seen
by PyTorch's own forward hooks. Compiled and scripted graphs are left alone: there, a hook would
break the graph or not run. What lies on an accelerator is neither copied nor waited for: of such a
tensor a snapshot has shape and type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, Final

import torch

from inferspan.containment import errors
from inferspan.decorators import snapshot
from inferspan.torch_hooks import Hooks, module_of

LAYERS_MAX: Final = 64
"""Layers of one model that are watched: each is an event on the span of every prediction."""
_SHOWN: Final = 10
"""Names of layers that an error lists."""


class LayerSnapshots(Hooks):
    """Hooks in the layers of a model; `remove()`, or the end of a `with` block, takes them out."""

    def __init__(self, names: list[str], handles: list[Any]) -> None:
        super().__init__(handles)
        self.names = names
        """The layers that are watched."""


def snapshots(
    model: torch.nn.Module, layers: Iterable[str] | Callable[[str, torch.nn.Module], bool]
) -> LayerSnapshots:
    """Record what layers make, in every prediction that the model takes part in.

    An event for each call of each layer, named as the layer, with shape, type, and where the tensor
    lies in the processor's memory, its statistics. Outside of predictions, in those that are not
    sampled and under `capture="none"`, nothing is computed. Of several outputs the first counts.

    Args:
        model: the module, or what `inferspan.wrap` made of it.
        layers: patterns of names as `named_modules()` has them (`encoder.*`), or a function of a
            layer's name and module. 64 layers at most.

    Returns:
        What takes the hooks out again. A compiled or scripted model is left alone, which is said
        once; there are then no hooks.

    Raises:
        TypeError: no module, or a single text in place of a list.
        ValueError: no layer, or more than 64, are meant.
    """
    module = module_of("snapshots", model)
    if isinstance(layers, str):
        raise TypeError(f"layers={layers!r}: must be a list of patterns; write layers=[{layers!r}]")
    if _is_graph(module):
        errors.warn_once(
            f"layers of {type(module).__name__}",
            f"inferspan: layers of a compiled or scripted {type(module).__name__} are not watched; "
            "give the module that it was made of, and call that",
        )
        return LayerSnapshots([], [])
    patterns = None if callable(layers) else tuple(layers)
    named = [(name, layer) for name, layer in module.named_modules() if name]
    chosen = [
        (name, layer)
        for name, layer in named
        if (layers(name, layer) if callable(layers) else _matches(name, patterns or ()))
    ]
    _check(chosen, [name for name, _ in named], patterns)
    handles = [layer.register_forward_hook(_Hook(name)) for name, layer in chosen]
    return LayerSnapshots([name for name, _ in chosen], handles)


class _Hook:
    """Pickles with its module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, module: torch.nn.Module, given: Any, made: Any) -> None:
        if torch.compiler.is_compiling():  # becomes a constant of the graph, and nothing is in it
            return
        if isinstance(made, (tuple, list)) and made:
            made = made[0]
        snapshot(self._name, made)


def _is_graph(module: torch.nn.Module) -> bool:
    scripted = isinstance(module, torch.jit.ScriptModule)
    compiled = getattr(module, "_compiled_call_impl", None) is not None
    return scripted or compiled or hasattr(module, "_orig_mod")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check(
    chosen: list[tuple[str, Any]], names: list[str], patterns: tuple[str, ...] | None
) -> None:
    meant = "the function" if patterns is None else f"layers={list(patterns)}"
    if not chosen:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        raise ValueError(f"{meant} means no layer; there are {shown or 'none'}")
    if len(chosen) > LAYERS_MAX:
        raise ValueError(f"{meant} means {len(chosen)} layers: at most {LAYERS_MAX}; choose fewer")
