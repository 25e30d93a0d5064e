"""PyTorch: a wrapped module is a model as others are, and its layers are seen where asked for."""

from __future__ import annotations

import copy
import io
import logging
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from sklearn.datasets import load_iris
from torch import nn

import inferspan
from inferspan import decorators, semconv
from inferspan.testing import CapturedSpans, capture_spans
from inferspan.torch_layers import LAYERS_MAX, snapshots

X, Y = load_iris(return_X_y=True)
ROWS = torch.tensor(X[::30], dtype=torch.float32)
SCRIPTING = pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
CLASSES = ["setosa", "versicolor", "virginica"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3), nn.Softmax(dim=1))
    return layers.eval()


def wrapped(net: Any, **options: Any) -> Any:
    return inferspan.wrap(
        net, model="iris", task="multiclass_classification", classes=CLASSES, **options
    )


def events(spans: CapturedSpans) -> list[dict[str, Any]]:
    return [dict(event.attributes or {}) for event in spans.prediction().events]


def test_a_call_is_a_prediction_and_answers_the_same(spans: CapturedSpans) -> None:
    net = network()
    with torch.no_grad():
        bare, traced = net(ROWS), wrapped(net)(ROWS)
    assert torch.equal(bare, traced)
    found = dict(spans.prediction("iris").attributes or {})
    assert (found[semconv.INPUT_SHAPE], found[semconv.INPUT_DTYPE]) == ("5x4", "float32")
    assert list(found[semconv.OUTPUT_CLASSES_PREDICTED]) == [  # type: ignore[arg-type]
        CLASSES[row] for row in bare.argmax(1)
    ]
    assert found[semconv.OUTPUT_PROBABILITIES] == pytest.approx(bare.numpy().ravel())


def test_gradients_flow_as_before(spans: CapturedSpans) -> None:
    net = network()
    wrapped(net)(ROWS).sum().backward()
    assert net[0].weight.grad is not None


def test_copies_and_states_are_those_of_before(spans: CapturedSpans) -> None:
    net = network()
    model = wrapped(net)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied(ROWS), net(ROWS))
    assert model.state_dict().keys() == net.state_dict().keys()
    bare, traced = io.BytesIO(), io.BytesIO()
    torch.save(net.state_dict(), bare)
    torch.save(model.state_dict(), traced)
    assert traced.getvalue() == bare.getvalue()
    assert model.eval() is model


@SCRIPTING
def test_a_compiled_and_a_scripted_model_can_be_wrapped(spans: CapturedSpans) -> None:
    net = network()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    for graph in (compiled, torch.jit.trace(net, ROWS)):
        assert torch.allclose(wrapped(graph)(ROWS), net(ROWS))
    assert len(spans.predictions) == 2


def test_layers_that_were_asked_for_are_seen(spans: CapturedSpans) -> None:
    net = network()
    with snapshots(net, ["0", "2"]) as watched, torch.no_grad():
        wrapped(net)(ROWS)
        hidden = net[0](ROWS).numpy()
    assert watched.names == ["0", "2"]
    first, second = events(spans)
    assert (first[semconv.STATE_NAME], second[semconv.STATE_NAME]) == ("0", "2")
    assert first[semconv.STATE_SHAPE] == "5x8"
    assert first[semconv.STATE_MEAN] == pytest.approx(float(hidden.mean()), rel=1e-5)
    assert first[semconv.STATE_MAX] == pytest.approx(float(np.max(hidden)), rel=1e-5)


def test_hooks_are_taken_out(spans: CapturedSpans) -> None:
    net = network()
    with snapshots(net, lambda name, layer: isinstance(layer, nn.Linear)) as watched:
        assert watched.names == ["0", "2"]
    watched.remove()
    wrapped(net)(ROWS)
    assert events(spans) == []
    assert all(not layer._forward_hooks for layer in net.modules())


def test_a_gradient_does_not_hinder_a_snapshot(spans: CapturedSpans) -> None:
    net = network()
    with snapshots(net, ["0"]):
        wrapped(net)(ROWS)
    (event,) = events(spans)
    assert semconv.STATE_MEAN in event


def test_of_several_outputs_the_first_counts(spans: CapturedSpans) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 6, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.lstm(x[:, None, :])[0][:, -1, :3].softmax(1)

    net = Recurrent().eval()
    with snapshots(net, ["lstm"]):
        wrapped(net)(ROWS)
    assert events(spans)[0][semconv.STATE_SHAPE] == "5x1x6"


def test_outside_of_what_is_recorded_nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(*args: object, **kwargs: object) -> Any:
        raise AssertionError("statistics of a state that nobody sees")

    monkeypatch.setattr(decorators, "statistics", computed)
    net = network()
    with snapshots(net, ["*"]):
        with capture_spans(sampler=ALWAYS_OFF):
            net(ROWS)
            wrapped(net)(ROWS)
        with capture_spans() as caught:
            wrapped(net, capture="none")(ROWS)
    assert events(caught) == []


@SCRIPTING
def test_a_graph_is_left_alone_and_that_is_said(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    net = network()
    in_place = network()
    in_place.compile(backend="eager")
    graphs = (torch.compile(net, backend="eager"), torch.jit.trace(net, ROWS), in_place)
    with caplog.at_level(logging.WARNING, "inferspan"):
        for graph in graphs:
            assert snapshots(graph, ["*"]).names == []
    assert "are not watched" in caplog.text
    assert all(not layer._forward_hooks for layer in net.modules())


def test_a_hook_does_not_break_a_graph_that_is_made_later(spans: CapturedSpans) -> None:
    net = network()
    with snapshots(net, ["0"]):
        compiled = torch.compile(net, backend="eager", fullgraph=True)
        assert torch.allclose(wrapped(compiled)(ROWS), network()(ROWS))
    assert events(spans) == []


def test_a_watched_module_is_pickled_with_its_hooks(spans: CapturedSpans) -> None:
    net = network()
    with snapshots(net, ["0"]):
        copied = pickle.loads(pickle.dumps(net))
    wrapped(copied)(ROWS)
    assert len(events(spans)) == 1


@pytest.mark.parametrize(
    ("layers", "error", "said"),
    [
        ("0", TypeError, r"write layers=\['0'\]"),
        (["encoder.*"], ValueError, "means no layer; there are 0, 1, 2, 3"),
        (lambda name, layer: False, ValueError, "the function means no layer"),
    ],
)
def test_what_means_nothing_is_refused(layers: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        snapshots(network(), layers)


def test_too_many_layers_are_refused() -> None:
    many = nn.Sequential(*(nn.ReLU() for _ in range(LAYERS_MAX + 1)))
    with pytest.raises(ValueError, match="means 65 layers: at most 64"):
        snapshots(many, ["*"])
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module"):
        snapshots(len, ["*"])  # type: ignore[arg-type]
