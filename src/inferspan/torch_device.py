"""PyTorch on CUDA: how long the device worked on a prediction, said without waiting for it.

    with inferspan.torch_device.timed(net): ...

The span of a call says how long its caller waited: a call returns before the device has done its
part. Of each call of the module within a prediction, two CUDA events are recorded on the stream
that it runs in; once the device has passed both, the prediction gets a stage `device`, with
`inferspan.phase.compute.duration`. Nothing is ever synchronised. On the processor, in graphs that
are compiled or captured, in predictions that are not sampled and outside of them, nothing is done.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final

import torch

from inferspan import spans
from inferspan.containment import Contained
from inferspan.device_times import Interval, later
from inferspan.predictions import PredictionCall, current_call
from inferspan.torch_hooks import Hooks, module_of

_Begun = tuple[object, PredictionCall, int, Any, Any]
"""A module, the prediction that it is called in, when (Unix ns), its stream and the first event."""
_begun: Final[ContextVar[tuple[_Begun, ...]]] = ContextVar("inferspan-on-device", default=())
_BEGIN: Final = Contained("mark what a device begins")
_END: Final = Contained("mark what a device ends")


def timed(model: torch.nn.Module) -> Hooks:
    """Have predictions say how long the device worked on a module's calls in them.

    Args:
        model: the module, or what `inferspan.wrap` made of it.

    Returns:
        What takes the hooks out again. They pickle with the module.

    Raises:
        TypeError: no module.
    """
    module = module_of("timed", model)
    return Hooks(
        [
            module.register_forward_pre_hook(_begin, with_kwargs=True),
            module.register_forward_hook(_end, always_call=True),
        ]
    )


def _begin(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if torch.compiler.is_compiling():
        return
    with _BEGIN:
        device = _device_of((*args, *kwargs.values()))
        call = current_call()
        if device is None or call is None or not call.recording:
            return
        if torch.cuda.is_current_stream_capturing():  # an event would become a part of the graph
            return
        stream = torch.cuda.current_stream(device)
        event = torch.cuda.Event(enable_timing=True)
        start_ns = spans.now_ns()
        event.record(stream)
        _begun.set((*_begun.get(), (module, call, start_ns, stream, event)))


def _end(module: torch.nn.Module, given: Any, made: Any) -> None:
    if torch.compiler.is_compiling():
        return
    open_calls = _begun.get()
    if not open_calls or open_calls[-1][0] is not module:
        return
    with _END:
        _begun.set(open_calls[:-1])
        _, call, start_ns, stream, begun = open_calls[-1]
        ended = torch.cuda.Event(enable_timing=True)
        ended.record(stream)
        prediction = call.span.get_span_context()
        later(Interval(prediction, call.plan.model, start_ns, begun, ended))


def _device_of(given: tuple[Any, ...]) -> torch.device | None:
    """The CUDA device of the first tensor that lies on one."""
    return next(
        (one.device for one in given if isinstance(one, torch.Tensor) and one.is_cuda), None
    )
