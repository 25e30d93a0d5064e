"""PyTorch: every `nn.Module` that your code calls.

What is patched: `__call__` of `torch.nn.Module` and of its subclasses that define one.

What appears: a call is one prediction, named after the class of the module, of a compiled, scripted
or parallel one after that of the module within. The modules that a module calls are part of it; of
chosen ones `inferspan.torch_layers.snapshots` shows what they made. What is compiled or exported
has nothing of ours in it: there a module is called as it would be without us. No prediction is the
call of a module in training (`.training`), nor of one that `torch.nn` itself defines, such as a
loss or an activation, unless it is a `Sequential`; nor what PyTorch, or a library that drives
modules (`transformers` …), calls itself. Classes are those of an attribute `classes_`; the task is
yours to declare: `instrument("torch", task=…)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from inferspan.integration import Composed, Description, Integration, Reading, Supported

SUPPORTED: Final = Supported("torch", "2.6", "3")
METHODS: Final = {"__call__": "predict"}
_WITHIN: Final = ("_orig_mod", "module")
"""Where a compiled module, and one that runs in parallel, has the module that it stands for."""
_NO_MODEL: Final = "a part of models"
_OWN: Final = "torch.nn.modules."
_CONTAINERS: Final = "torch.nn.modules.container"


def describe(model: Any) -> Description:
    """What a module knows of itself: little."""
    kind, within = type(model), _within(model)
    own = kind.__module__.startswith(_OWN) and kind.__module__ != _CONTAINERS
    found: Any = getattr(within, "classes_", ())
    listed = found.tolist() if hasattr(type(found), "tolist") else found
    return Description(
        name=str(getattr(within, "original_name", type(within).__name__)),
        framework="torch",
        classes=tuple(listed) if isinstance(listed, (list, tuple)) else (),
        form=_NO_MODEL if own else None,
    )


def read(description: Description, method: str) -> Reading | None:
    """Answers are read as they are; those of a module that is none by itself are no predictions."""
    return None if description.form == _NO_MODEL else Reading()


def _compiling() -> Callable[[], bool]:
    import torch

    # By this very name the compiler knows the function, and leaves out what is not for it.
    return torch.compiler.is_compiling  # type: ignore[no-any-return]


def _learns(model: Any) -> bool:
    # Of older versions a compiled module has a `training` of its own, which means nothing.
    return _within(model).training is True


def _within(model: Any) -> Any:
    """The module that a module stands for; else itself."""
    if not type(model).__module__.startswith("torch."):
        return model
    found = (getattr(model, place, None) for place in _WITHIN)
    return next((module for module in found if hasattr(module, "training")), model)


def _classes() -> tuple[type, ...]:
    import torch

    return (torch.nn.Module,)


COMPOSED: Final = Composed(compiling=_compiling, learns=_learns, body="forward")

INTEGRATION: Final = Integration(
    library="torch",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    internal=frozenset(
        (
            "torch",
            "accelerate",
            "diffusers",
            "lightning",
            "peft",
            "pytorch_lightning",
            "sentence_transformers",
            "transformers",
        )
    ),
    composed=COMPOSED,
    describe=describe,
    read=read,
)
