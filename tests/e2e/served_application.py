"""A WSGI application that predicts once a request; `gunicorn --preload` loads it in its master."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import inferspan

MODEL = "preloaded"

inferspan.configure(service_name="served")


@inferspan.predict(
    model=MODEL,
    version="1",
    task="binary_classification",
    positive="fraud",
    prediction_id="key",
    slices=["process"],
)
def score(key: str, process: str) -> str:
    """What a model says of an order."""
    return "fraud" if key.endswith("7") else "legit"


score("master", str(os.getpid()))


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer with the process that predicted."""
    score(environ["PATH_INFO"].strip("/"), str(os.getpid()))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid()}).encode()]
