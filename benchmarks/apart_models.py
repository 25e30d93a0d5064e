"""Models of libraries that have environments of their own, and of servers that are asked."""

from __future__ import annotations

import atexit
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from one_row import Maker, Small, extent, first, rows


def torch_layers(count: int, *, watched: bool = False) -> Small:
    import torch

    from inferspan.torch_layers import snapshots

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    layers = [torch.nn.Linear(10, 10) for _ in range(count - 1)] + [torch.nn.Linear(10, 1)]
    model = torch.nn.Sequential(*layers).eval()
    if watched:
        snapshots(model, ["*"])
    return Small(model, "__call__", torch.zeros(1, 10), layers=count if watched else 0)


def tiny() -> Any:
    """The models with random weights that the tests have, too."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests/sdk/integrations"))
    import tiny_transformers
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    return tiny_transformers


def saved() -> Path:
    """An empty folder, until the process ends."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    return Path(directory.name)


def transformers_pipeline() -> Small:
    models = tiny()
    from transformers import pipeline

    made = pipeline(
        "text-classification",
        model=models.classifier(["negative", "positive"]),
        tokenizer=models.tokenizer(),
        device="cpu",
    )
    return Small(made, "__call__", "the film was good", answer=lambda said: said[0]["label"])


def transformers_teller(*, streamed: bool = False) -> Small:
    models = tiny()
    import torch
    from transformers.generation.streamers import BaseStreamer

    class Forgets(BaseStreamer):  # type: ignore[misc]
        def put(self, value: Any) -> None:
            """Take a token."""

        def end(self) -> None:
            """Take no more."""

    ids = torch.arange(5, 10).reshape(1, 5)
    named = {"attention_mask": torch.ones_like(ids)}
    if streamed:
        named["streamer"] = Forgets()
    return Small(models.teller(), "generate", ids, named=named, answer=extent)


def sentence_encoder() -> Small:
    models, folder = tiny(), saved()
    from sentence_transformers import SentenceTransformer

    try:
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling
    except ImportError:  # before 6
        from sentence_transformers.models import Pooling, Transformer

    models.encoder().save_pretrained(folder)
    models.tokenizer().save_pretrained(folder)
    made = SentenceTransformer(modules=[Transformer(str(folder)), Pooling(16)], device="cpu")
    return Small(made, "encode", "a film", named={"show_progress_bar": False}, answer=extent)


def sentence_pairs() -> Small:
    models, folder = tiny(), saved()
    from sentence_transformers import CrossEncoder

    models.classifier(["LABEL_0"]).save_pretrained(folder)
    models.tokenizer().save_pretrained(folder)
    made = CrossEncoder(str(folder), num_labels=1, device="cpu")
    pair = [["a film", "the film was good"]]
    return Small(made, "predict", pair, named={"show_progress_bar": False})


def mlflow_classifier() -> Small:
    import mlflow.pyfunc
    import mlflow.sklearn
    from sklearn.linear_model import LogisticRegression

    folder, (x, y) = saved(), rows()
    mlflow.set_tracking_uri(folder.as_uri())
    fitted, path = LogisticRegression().fit(x, y), str(folder / "model")
    told = {"pip_requirements": [], "serialization_format": "cloudpickle"}
    mlflow.sklearn.save_model(fitted, path, **told)
    return Small(mlflow.pyfunc.load_model(path), "predict", x[:1])


def mlserver_runtime() -> Small:
    import numpy as np
    from mlserver import MLModel, ModelSettings
    from mlserver.codecs import NumpyCodec
    from mlserver.settings import ModelParameters
    from mlserver.types import InferenceRequest, InferenceResponse

    class Constant(MLModel):  # type: ignore[misc]
        async def predict(self, payload: Any) -> Any:
            said = NumpyCodec.encode_output("predict", np.array([[1]]))
            return InferenceResponse(model_name=self.name, outputs=[said])

    told = ModelParameters(
        version="7",
        extra={"inferspan.task.type": "binary_classification", "inferspan.output.classes": [0, 1]},
    )
    settings = ModelSettings(name="model", implementation=Constant, parameters=told)
    asked = InferenceRequest(inputs=[NumpyCodec.encode_input("x", rows()[0][:1])])
    return Small(
        Constant(settings),
        "predict",
        asked,
        answer=lambda said: said.outputs[0].data[0],
        awaits=True,
    )


def triton_client(over: str) -> Small:
    import numpy as np
    from answering_models import serving_grpc, serving_http

    x = rows()[0][:1].astype(np.float32)
    if over == "http":
        import tritonclient.http as client

        made = client.InferenceServerClient(serving_http())
    else:
        import tritonclient.grpc as client

        made = client.InferenceServerClient(serving_grpc())
    given = client.InferInput("x", x.shape, "FP32")
    given.set_data_from_numpy(x)
    arguments = ("model", [given])
    return Small(made, "infer", x, arguments, answer=lambda said: first(said.as_numpy("label")))


def open_inference_post() -> Small:
    import httpx
    from answering_models import serving_http

    from inferspan import open_inference

    client = httpx.Client(base_url=f"http://{serving_http()}")
    tensor = {"name": "x", "shape": [1, 10], "datatype": "FP32", "data": [0.5] * 10}
    return Small(
        client,
        "post",
        None,
        ("/v2/models/model/versions/7/infer",),
        named={"json": {"inputs": [tensor]}},
        answer=lambda said: said.json()["outputs"][0]["data"][0],
        wrapped=lambda: SimpleNamespace(post=open_inference.traced(client.post)),
    )


LIBRARIES: Final[dict[str, dict[str, Maker]]] = {
    "torch": {
        "two layers": lambda: torch_layers(2),
        "thirty layers": lambda: torch_layers(30),
        "thirty layers, all watched": lambda: torch_layers(30, watched=True),
    },
    "transformers": {
        "a pipeline that classifies": transformers_pipeline,
        "generate, five tokens": transformers_teller,
        "generate, to a streamer": lambda: transformers_teller(streamed=True),
    },
    "sentence_transformers": {
        "encode": sentence_encoder,
        "CrossEncoder.predict": sentence_pairs,
    },
    "mlflow": {"predict": mlflow_classifier},
    "mlserver": {"predict, awaited": mlserver_runtime},
    "tritonclient": {
        "infer over HTTP": lambda: triton_client("http"),
        "infer over gRPC": lambda: triton_client("grpc"),
    },
    "httpx": {"post, by open_inference": open_inference_post},
}
"""As `library_models.LIBRARIES`."""
