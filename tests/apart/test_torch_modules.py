"""Modules of PyTorch without a line in the code that calls them; nothing in what is compiled."""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import inferspan
from inferspan import semconv, served
from inferspan.testing import CapturedSpans, capture_spans
from inferspan.torch_layers import snapshots

ROWS = torch.linspace(-1, 1, 20).reshape(5, 4)
CLASSES = ["setosa", "versicolor", "virginica"]
SCRIPTING = pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")


class Network(nn.Module):
    classes_ = CLASSES

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(4, 8), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.head(self.encoder(x)), 1)


def network() -> Network:
    return Network().eval()


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    inferspan.instrument("torch", task="multiclass_classification")
    with capture_spans() as caught, torch.no_grad():
        yield caught
    inferspan.uninstrument()


def names(spans: CapturedSpans) -> list[str]:
    return [span.name for span in spans.predictions]


def test_a_call_is_one_prediction_whatever_is_within(spans: CapturedSpans) -> None:
    made = network()(ROWS)
    found = dict(spans.prediction("Network").attributes or {})
    assert list(found[semconv.OUTPUT_CLASSES_PREDICTED]) == [  # type: ignore[arg-type]
        CLASSES[row] for row in made.argmax(1)
    ]
    assert found[semconv.OUTPUT_PROBABILITIES] == pytest.approx(made.numpy().ravel())
    assert (found[semconv.INPUT_SHAPE], found[semconv.MODEL_FRAMEWORK]) == ("5x4", "torch")
    assert spans.stages == []


def test_of_its_parts_nothing_is_kept(spans: CapturedSpans) -> None:
    net = network()
    before = len(served.state.models)
    net(ROWS)
    assert len(served.state.models) == before + 1


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_modes_are_those_of_the_caller(mode: Any, spans: CapturedSpans) -> None:
    net = network()
    with mode():
        made = net(ROWS)
        assert made.is_inference() == torch.is_inference_mode_enabled()
        assert made.requires_grad == torch.is_grad_enabled()
    assert names(spans) == ["predict Network"]


def test_what_is_in_training_predicts_nothing(spans: CapturedSpans) -> None:
    net = network().train()
    net.encoder.eval()  # frozen
    with torch.enable_grad():
        nn.NLLLoss()(net(ROWS).log(), torch.zeros(5, dtype=torch.long)).backward()
    assert net.head.weight.grad is not None
    assert names(spans) == []
    net.eval()(ROWS)
    assert names(spans) == ["predict Network"]


def test_losses_and_activations_are_no_models(spans: CapturedSpans) -> None:
    logits = torch.zeros(2, 3)
    nn.Softmax(1).eval()(logits)
    nn.CrossEntropyLoss().eval()(logits, torch.zeros(2, dtype=torch.long))

    @inferspan.predict(model="service", task="regression")
    def answer() -> float:
        nn.Softmax(1).eval()(network()(ROWS))
        return 1.0

    answer()
    assert names(spans) == ["predict service"]
    assert [stage.name for stage in spans.stages] == ["Network service"]


def test_forward_alone_is_called_as_it_was(spans: CapturedSpans) -> None:
    network().forward(ROWS)
    assert list(spans) == []


def test_a_wrapped_module_is_recorded_once(spans: CapturedSpans) -> None:
    inferspan.wrap(network(), model="iris", task="multiclass_classification")(ROWS)
    assert names(spans) == ["predict iris"]
    assert spans.stages == []


def test_hooks_run_as_before_and_layers_are_seen(spans: CapturedSpans) -> None:
    net, seen = network(), []
    net.head.register_forward_hook(lambda module, given, made: seen.append(made.shape))
    with snapshots(net, ["encoder", "head"]):
        net(ROWS)
    assert seen == [(5, 3)]
    assert [
        dict(event.attributes or {})[semconv.STATE_NAME] for event in spans.prediction().events
    ] == [
        "encoder",
        "head",
    ]


@pytest.mark.parametrize("before", [True, False])
def test_what_is_compiled_has_nothing_of_ours_in_it(before: bool) -> None:
    nets = [network() for _ in range(10)]  # more than the compiler keeps graphs of one function
    expected = nets[0](ROWS).detach()
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def compiled() -> list[Any]:
        torch.compiler.reset()
        return [torch.compile(net, backend=backend, fullgraph=True) for net in nets]

    made = compiled() if before else []
    inferspan.instrument("torch")
    try:
        with capture_spans() as spans, torch.no_grad():
            for net in made or compiled():
                assert torch.allclose(net(ROWS), expected)
            assert names(spans) == ["predict Network"] * len(nets)
            within = torch.compile(lambda x: nets[0](x) + 0, backend=backend, fullgraph=True)
            assert torch.allclose(within(ROWS), expected)
            assert len(spans.predictions) == len(nets)
    finally:
        inferspan.uninstrument()
    assert spans.stages == []
    assert all(len(graph.graph.nodes) < 20 for graph in graphs)


def test_a_module_that_is_compiled_in_place_is_one_prediction(spans: CapturedSpans) -> None:
    net = network()
    net.compile(backend="eager", fullgraph=True)
    assert torch.allclose(net(ROWS), network()(ROWS))
    assert names(spans) == ["predict Network"] * 2


@SCRIPTING
def test_scripted_traced_and_exported_modules_are_those_of_before(spans: CapturedSpans) -> None:
    net = network()
    expected = net(ROWS)
    spans.clear()
    for graph in (torch.jit.script(net), torch.jit.trace(net, ROWS)):
        spans.clear()
        assert torch.allclose(graph(ROWS), expected)
        assert names(spans) == ["predict Network"]
    exported = torch.export.export(net, (ROWS,)).module()
    assert torch.allclose(exported(ROWS), expected)
    symbolic = torch.fx.symbolic_trace(net)
    assert [node.target for node in symbolic.graph.nodes if node.op == "call_module"] == [
        "encoder.0",
        "encoder.1",
        "head",
    ]


def test_what_runs_in_parallel_is_one_prediction(spans: CapturedSpans) -> None:
    nn.DataParallel(network()).eval()(ROWS)
    assert names(spans) == ["predict Network"]


def test_threads_predict_by_themselves(spans: CapturedSpans) -> None:
    net = network()
    threads = [threading.Thread(target=net, args=(ROWS,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(spans) == ["predict Network"] * 4


def test_files_and_copies_are_those_of_before(spans: CapturedSpans) -> None:
    net = network()
    traced, bare = io.BytesIO(), io.BytesIO()
    torch.save(net, traced)
    inferspan.uninstrument()
    torch.save(net, bare)
    assert traced.getvalue() == bare.getvalue()
    traced.seek(0)
    loaded = torch.load(traced, weights_only=False)
    inferspan.instrument("torch")
    spans.clear()
    assert torch.equal(loaded(ROWS), copy.deepcopy(net)(ROWS))
    assert names(spans) == ["predict Network"] * 2
