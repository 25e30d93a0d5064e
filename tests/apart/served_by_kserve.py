"""A model that KServe's own server serves, as a user writes it."""

from __future__ import annotations

import sys
from typing import Any

import kserve
import numpy as np
from kserve import InferOutput, InferResponse

import inferspan

MODELS = ("flowers", "price")


@inferspan.predict(model="flowers", task="multiclass_classification")
def judge(rows: Any) -> list[str]:
    """What flowers they are."""
    return ["virginica" if first > 5 else "setosa" for first in rows[:, 0]]


class Served(kserve.Model):  # type: ignore[misc]
    """Judges rows, and says in its answer what was sent along with them."""

    def load(self) -> bool:
        """Nothing: it has learnt nothing."""
        self.ready = True
        return True

    async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        """Protocol v1 has a dictionary, v2 a request."""
        if isinstance(payload, dict):
            return {"predictions": judge(np.array(payload["instances"]))}
        x = payload.inputs[0].as_numpy()
        made = {"scores": x}
        if self.name == "price":
            made = {"price": x.sum(1, keepdims=True, dtype=np.float32)}
        else:
            made["label"] = np.array(judge(x), object)
        outputs = []
        for name, array in made.items():
            kind = "BYTES" if array.dtype == object else "FP32"
            output = InferOutput(name=name, shape=list(array.shape), datatype=kind)
            output.set_data_from_numpy(array, binary_data=payload.use_binary_outputs)
            outputs.append(output)
        told = {name: headers[name] for name in ("traceparent", "x-prediction-id")}
        return InferResponse(payload.id, self.name, outputs, parameters=told)


if __name__ == "__main__":
    http, grpc = map(int, sys.argv[1:])
    server = kserve.ModelServer(http_port=http, grpc_port=grpc, workers=1)
    models = [Served(name) for name in MODELS]
    for model in models:
        model.load()
    server.start(models)
