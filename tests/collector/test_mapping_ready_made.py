"""The mappings that come with us, each against what its source really sends.

Recorded: `mlserver` of MLServer 1.7.1, `gen_ai` of opentelemetry-instrumentation-openai-v2 2.1b0
(its last two spans by the conventions), `openinference` of openinference-instrumentation-openai
0.1.66 (its judgements by the specification). Written after the source of the server: `triton`
(src/tracer.cc), `vllm` (vllm/tracing).
"""

from __future__ import annotations

import json

import pytest
from mapped_spans import DATA, RECEIVED_NS, decoded, mapper, recorded, rows, span_names

from inferspan import semconv
from inferspan_collector.config.mappings import ready_made_names
from inferspan_collector.decode import decode_traces
from inferspan_collector.testing import otlp_span

ALL = ready_made_names()


def read(name: str, *fields: str) -> list[tuple[object, ...]]:
    """Fields of the predictions of a recorded example, with only its own mapping on."""
    return [
        tuple(row.get(field) for field in fields)
        for row in rows(recorded(name, [name]).predictions)
    ]


def test_every_ready_made_mapping_has_a_recorded_example() -> None:
    examples = [path.stem.removeprefix("spans_") for path in DATA.glob("spans_*.json")]
    assert sorted(examples) == ALL


@pytest.mark.parametrize("name", ALL)
def test_without_a_mapping_spans_of_others_are_ignored(name: str) -> None:
    found = recorded(name, [])
    assert (len(found.predictions), len(found.labels), found.refused) == (0, 0, ())
    assert found.ignored == len(span_names(name))


@pytest.mark.parametrize("name", ALL)
def test_mappings_do_not_take_each_others_spans(name: str) -> None:
    """All on at once, an example reads as with its own alone."""
    alone, together = recorded(name, [name]), recorded(name, ALL)
    assert rows(together.predictions) == rows(alone.predictions)
    assert together.mapped == alone.mapped
    assert together.labels.target.objects().tolist() == alone.labels.target.objects().tolist()
    assert together.ignored == alone.ignored
    assert alone.refused == together.refused == ()


def test_gen_ai_clients_predict_and_agents_do_not() -> None:
    fields = ("model", "version", "operation", "task", "provider", "finish_reason", "error_type")
    assert read("gen_ai", *fields) == [
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "generate", "generation", "openai", "stop", None),
        ("nope", None, "generate", "generation", "openai", None, "APITimeoutError"),
        ("text-embedding-3-small", None, "embed", "embedding", "openai", None, None),
    ]
    answered, failed, _ = rows(recorded("gen_ai", ["gen_ai"]).predictions)
    assert answered["prediction_id"] == "chatcmpl-xyz"
    # Without an id of the response the span's own context is the id.
    assert failed["prediction_id"] == "3287950aa07ead1aece52ebf87b76b73-f71a8ea144c0af98"
    assert (answered["service"], answered["kind"]) == ("support-bot", 3)
    assert recorded("gen_ai", ["gen_ai"]).ignored == 1


def test_openinference_spans_predict_and_their_judgements_are_labels() -> None:
    found = recorded("openinference", ["openinference"])
    assert read("openinference", "model", "version", "operation", "provider", "error_type") == [
        ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "generate", "openai", None),
        ("text-embedding-3-small", "text-embedding-3-small", "embed", "openai", None),
        # A failed call names its model where a good one does.
        ("nope", None, "generate", "openai", "_OTHER"),
    ]
    labels = found.labels
    told = zip(
        labels.target.objects().tolist(),
        labels.actual.objects().tolist(),
        labels.annotator_kind.objects().tolist(),
        labels.link_span.tolist(),
        strict=True,
    )
    judged = int(found.predictions.span[0])
    assert list(told) == [
        ("format", "valid", "CODE", judged),
        ("hallucination", "hallucinated", "LLM", judged),
        ("helpfulness", "0.75", "LLM", judged),
    ]
    assert set(labels.kind.objects().tolist()) == {"evaluation"}
    assert labels.value.tolist()[1:] == [1.0, 0.75]
    assert len(set(labels.label_id.objects().tolist())) == 3
    assert found.mapped == {
        "openinference": 3,
        "openinference.annotations": 1,
        "openinference.evaluations": 1,
    }
    assert found.ignored == 1


def test_triton_names_the_model_on_one_span_of_three() -> None:
    assert read("triton", "model", "version", "operation", "kind") == [
        ("fraud", "3", "predict", 2),
        ("ranker", "1", "predict", 2),
    ]
    named, unnamed = (
        row["prediction_id"] for row in rows(recorded("triton", ["triton"]).predictions)
    )
    assert named == "order-17"
    assert unnamed.endswith("-00f067aa0ba9020a")
    assert recorded("triton", ["triton"]).ignored == 2


def test_vllm_names_its_model_by_an_attribute_or_its_service() -> None:
    assert read("vllm", "model", "prediction_id", "operation", "task") == [
        ("llama-3-8b", "chatcmpl-5f1c", "generate", "generation"),
        ("meta-llama/Meta-Llama-3-8B", "cmpl-0a2b-0", "generate", "generation"),
    ]


def test_a_ready_made_mapping_can_be_changed_in_part() -> None:
    changed = {
        "ready_made": "vllm",
        "prediction": {"model": "llama-3", "slices": {"n": {"attribute": "gen_ai.request.n"}}},
    }
    found = rows(recorded("vllm", [changed]).predictions)
    assert [(row["model"], row["n"], row["prediction_id"]) for row in found] == [
        ("llama-3", "1", "chatcmpl-5f1c"),
        ("llama-3", "1", "cmpl-0a2b-0"),
    ]


def test_mlserver_names_the_model_in_the_path() -> None:
    assert read("mlserver", "model", "version", "operation", "error_type") == [
        ("iris", None, "predict", None),
        ("iris", "v7", "predict", None),
        ("iris", None, "predict", "422"),
    ]
    # Among what is ignored: a request for a model that does not exist, answered 404.
    assert recorded("mlserver", ["mlserver"]).ignored == len(span_names("mlserver")) - 3


@pytest.mark.parametrize("name", ["gen_ai", "openinference"])
def test_a_span_that_names_a_prediction_is_none_and_its_labels_are_about_that_one(
    name: str,
) -> None:
    document = json.loads((DATA / f"spans_{name}.json").read_text())
    pair = {"key": semconv.PREDICTION_SPAN_ID, "value": {"stringValue": f"{7:016x}"}}
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                span["attributes"].append(pair)
    body = json.dumps(document).encode()
    found = decode_traces(body, json=True, received_ns=RECEIVED_NS, mapper=mapper([name]))
    assert (len(found.predictions), found.refused) == (0, ())
    before = recorded(name, [name]).labels
    assert len(found.labels) == len(before)
    about_itself = found.labels.link_span == 7
    assert about_itself.sum() == ("annotations" in body.decode())
    assert (
        found.labels.link_span[~about_itself].tolist() == before.link_span[~about_itself].tolist()
    )


def test_whoever_wants_both_predictions_says_so() -> None:
    span = otlp_span(
        "chat",
        {
            semconv.GEN_AI_OPERATION_NAME: "chat",
            semconv.GEN_AI_REQUEST_MODEL: "m",
            semconv.PREDICTION_SPAN_ID: f"{7:016x}",
        },
        kind=3,
    )
    both = {"ready_made": "gen_ai", "match": {"without": {}}}
    assert [len(decoded([one], [span]).predictions) for one in ("gen_ai", both)] == [0, 1]
