"""Where no device measures itself nothing is said of one, and the module is as it was."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

import inferspan
from inferspan.testing import capture_spans
from inferspan.torch_device import timed

ROWS = torch.linspace(-1, 1, 8).reshape(2, 4)


def test_on_the_processor_nothing_is_done() -> None:
    net = nn.Sequential(nn.Linear(4, 2)).eval()
    model = inferspan.wrap(net, model="digits", classes=["odd", "even"])
    expected = net(ROWS)
    with timed(model), capture_spans() as spans:
        assert torch.equal(model(ROWS), expected)
        assert torch.equal(model(input=ROWS), expected)
    assert [span.name for span in spans] == ["predict digits"] * 2


def test_hooks_are_taken_out_and_pickle_with_their_module() -> None:
    net = nn.Sequential(nn.Linear(4, 2)).eval()
    times = timed(net)
    assert torch.equal(pickle.loads(pickle.dumps(net))(ROWS), net(ROWS))
    assert torch.equal(torch.compile(net, backend="eager", fullgraph=True)(ROWS), net(ROWS))
    times.remove()
    times.remove()
    assert not net._forward_hooks
    assert not net._forward_pre_hooks


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"got a list: must be a torch.nn.Module"):
        timed([])  # type: ignore[arg-type]
