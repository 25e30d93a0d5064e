"""Modules of PyTorch, fitted on data that ships with scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from sklearn.datasets import load_diabetes
from torch import nn

from .subjects import Subject

X, Y = (torch.tensor(part, dtype=torch.float32) for part in load_diabetes(return_X_y=True))


class Network(nn.Module):
    """A number for each row; its layers are modules, one of them a module of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(10, 8), nn.ReLU())
        self.head = Head()

    def forward(self, x: Any) -> Any:
        return self.head(self.encoder(x))


class Head(nn.Module):
    """The last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        return self.linear(x)[:, 0]


def trained(make: Callable[[], nn.Module]) -> nn.Module:
    """A module after some steps."""
    torch.manual_seed(0)
    model = make()
    steps, loss = torch.optim.Adam(model.parameters(), 0.1), nn.MSELoss()
    model.train()
    for _ in range(3):
        steps.zero_grad()
        loss(model(X), Y).backward()
        steps.step()
    return model.eval().requires_grad_(False)


def _subject(name: str, make: Callable[[], nn.Module]) -> Subject:
    wrong = torch.zeros(2, 3)
    return Subject(
        name, trained(make), ("__call__",), X[:7], wrong, lambda _: trained(make), task=False
    )


SUBJECTS = [
    _subject("network", Network),
    _subject("sequence", lambda: nn.Sequential(nn.Linear(10, 8), nn.Tanh(), Head())),
]
