"""Mappings: which spans of others they take, what is recorded of them, and what is refused."""

from __future__ import annotations

import json
import re

import pytest
from mapped_spans import decoded, mapper, rows

from inferspan import semconv
from inferspan_collector.decode.mapping.patterns import Patterns
from inferspan_collector.decode.mapping.sampling import adjusted_count
from inferspan_collector.testing import otlp_span, span_ids

MODEL = {"attribute": "app.model"}


def rule(prediction=None, **match):
    """A mapping that takes spans with `app.model`, unless told otherwise."""
    return {
        "name": "ours",
        "match": match or {"attributes": {"app.model": "*"}},
        "prediction": {"model": MODEL, **(prediction or {})},
    }


def span(name="work", attributes=None, **others):
    return otlp_span(name, {"app.model": "fraud", **(attributes or {})}, **others)


def one(prediction, attributes=None, **others):
    """The one prediction that a span with these attributes is."""
    (row,) = rows(decoded([rule(prediction)], [span("work", attributes, **others)]).predictions)
    return row


def refusal(prediction, attributes=None, **others):
    found = decoded([rule(prediction)], [span("work", attributes, **others)])
    assert len(found.predictions) == 0
    (refused,) = found.refused
    return refused


@pytest.mark.parametrize(
    ("match", "taken"),
    [
        ({"scope": "their.*"}, True),
        ({"scope": ["other", "their.library"]}, True),
        ({"scope": "their"}, False),
        ({"span": "wo*"}, True),
        ({"span": "Wo*"}, False),
        ({"kind": "server"}, False),
        ({"kind": ["server", "internal"]}, True),
        ({"attributes": {"app.model": "fraud"}}, True),
        ({"attributes": {"app.model": ["a", "b"]}}, False),
        ({"attributes": {"app.rows": 17}}, True),
        ({"attributes": {"app.rows": "1*"}}, True),
        ({"attributes": {"app.ok": True}}, True),
        ({"attributes": {"app.share": 0.5}}, True),
        ({"attributes": {"app.tags": "b"}}, True),
        ({"attributes": {"app.tags": "c"}}, False),
        ({"attributes": {"app.raw": "*"}}, True),
        ({"attributes": {"app.absent": "*"}}, False),
        ({"span": "work", "without": {"app.absent": "*"}}, True),
        ({"span": "work", "without": {"app.model": "*"}}, False),
        ({"span": "work", "without": {"app.rows": 17}}, False),
        ({"span": "work", "without": {"app.rows": ["18", "2*"]}}, True),
        ({"span": "work", "without": {"app.absent": "*", "app.tags": "a"}}, False),
        ({"resource": {"service.name": "shop"}}, True),
        ({"resource": {"service.name": "shop*", "host.name": "*"}}, False),
        ({"span": "work", "scope": "other"}, False),
    ],
)
def test_a_span_is_taken_where_everything_that_is_named_holds(match, taken) -> None:
    attributes = {
        "app.rows": 17,
        "app.ok": True,
        "app.share": 0.5,
        "app.tags": ["a", "b"],
        "app.raw": b"\x00",
    }
    found = decoded(
        [rule(None, **match)], [span("work", attributes)], resource={"service.name": "shop"}
    )
    assert (len(found.predictions), found.ignored, found.refused) == (taken, not taken, ())
    assert found.mapped == ({"ours": 1} if taken else {})


@pytest.mark.parametrize("text", ["", "a", "ab", "aab", "abab", "xaby", "*", "a*b", "ba" * 3])
@pytest.mark.parametrize("pattern", ["*", "a*", "*b", "a*b", "*a*b*", "**", "ab", "a*a", "*ab*ab"])
def test_a_star_stands_for_any_characters(pattern: str, text: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None
    assert Patterns([pattern]).fit(text) == expected


def test_the_first_mapping_that_takes_a_span_counts() -> None:
    mappings = [
        {**rule({"model": "first"}, attributes={"app.rank": 1}), "name": "first"},
        {**rule({"model": "second"}), "name": "second"},
    ]
    found = decoded(mappings, [span("a", {"app.rank": 1}), span("b")])
    assert [row["model"] for row in rows(found.predictions)] == ["first", "second"]
    assert found.mapped == {"first": 1, "second": 1}


def test_spans_of_ours_are_never_mapped() -> None:
    takes_all = rule(None, span="*")
    own = {semconv.OPERATION_NAME: "predict", semconv.MODEL_NAME: "ours"}
    for scope in (semconv.SCOPE_PREDICTIONS, "their.library"):
        found = decoded([takes_all], [otlp_span("predict", own)], scope=scope)
        assert [row["model"] for row in rows(found.predictions)] == ["ours"]
        assert found.mapped == {}
    for scope in (semconv.SCOPE_PREDICTIONS, semconv.SCOPE_PROCESSOR):
        assert decoded([takes_all], [span()], scope=scope).ignored == 1
    stage = span("scale", {semconv.STAGE_NAME: "scale"})
    assert decoded([takes_all], [stage]).ignored == 1


def test_every_field_reaches_the_row() -> None:
    prediction = {
        "version": {"resource": "service.version"},
        "variant": "canary",
        "environment": {"resource": "deployment.environment"},
        "service": "shop",
        "operation": "predict_proba",
        "task": "binary_classification",
        "prediction_id": {"attribute": "app.order"},
        "class": {"attribute": "app.answer", "json_path": "$.label"},
        "score": {"attribute": "app.answer", "json_path": "$.scores[-1]"},
        "value": {"attribute": "app.amount"},
        "positive_class": "fraud",
        "adjusted_count": {"constant": 4},
        "slices": {"country": {"attribute": "app.country"}, "of_kind": {"span": "kind"}},
    }
    attributes = {
        "app.order": 17,
        "app.answer": json.dumps({"label": "fraud", "scores": [0.1, 0.9]}),
        "app.amount": "12.5",
        "app.country": "DE",
    }
    found = decoded(
        [rule(prediction)],
        [span("work", attributes)],
        resource={"service.version": "7", "deployment.environment": "prod", "service.name": "x"},
    )
    (row,) = rows(found.predictions)
    assert row == {
        "model": "fraud",
        "version": "7",
        "variant": "canary",
        "environment": "prod",
        "service": "shop",
        "operation": "predict_proba",
        "task": "binary_classification",
        "positive_class": "fraud",
        "predicted": "fraud",
        "prediction_id": "17",
        "country": "DE",
        "of_kind": "internal",
        "score": 0.9,
        "value": 12.5,
        "adjusted_count": 4.0,
        "index": 0,
        "kind": 1,
    }


def test_a_batch_call_is_a_row_for_each_answer() -> None:
    prediction = {
        "classes_predicted": {"attribute": "out", "json_path": "$.outputs[*].label"},
        "scores": {"attribute": "out", "json_path": "$.outputs[*].p"},
        "prediction_ids": {"attribute": "ids"},
    }
    out = {"outputs": [{"label": "a", "p": 0.25}, {"label": 7, "p": "0.5"}]}
    found = decoded([rule(prediction)], [span("work", {"out": json.dumps(out), "ids": ["x", "y"]})])
    told = [
        (row["prediction_id"], row["predicted"], row["score"]) for row in rows(found.predictions)
    ]
    assert told == [("x", "a", 0.25), ("y", "7", 0.5)]


def test_without_an_id_the_spans_own_context_is_the_id() -> None:
    trace, own = span_ids("work")
    assert (
        one({"prediction_id": {"attribute": "absent"}})["prediction_id"]
        == f"{trace.hex()}-{own.hex()}"
    )


def test_a_source_that_cannot_be_read_is_passed_over_where_a_later_one_has_a_value() -> None:
    version = [{"attribute": "j", "json_path": "$.a"}, {"attribute": "v"}]
    assert one({"version": version}, {"j": "{", "v": "7"})["version"] == "7"
    assert one({"version": version}, {"j": '{"a": 8}', "v": "7"})["version"] == "8"
    assert refusal({"version": version}, {"j": "{"}).reason == "bad_json"


def test_sources_are_asked_in_order_and_an_empty_text_is_none() -> None:
    version = [{"attribute": "a"}, {"attribute": "b"}, "unversioned"]
    assert one({"version": version}, {"a": "", "b": "7"})["version"] == "7"
    assert one({"version": version})["version"] == "unversioned"


@pytest.mark.parametrize(
    ("steps", "value", "read"),
    [
        ({"template": "/v2/models/{}/"}, "/v2/models/iris/infer", "iris"),
        ({"template": "/v2/models/{}/"}, "/v2/models//infer", None),
        ({"template": "/v2/models/{}/"}, "/v2/models/iris", None),
        ({"template": "/v2/models/{}"}, "/v2/models/iris?x=1", "iris"),
        ({"template": "/*/{}/"}, "/a/b/c", "b"),
        ({"template": "/{}/"}, "/" + "a" * 2000 + "/", None),
        ({"keep": ["4*", "5*"]}, 404, "404"),
        ({"keep": "4*"}, 200, None),
        ({"drop": "unknown*"}, "unknown_service", None),
        ({"drop": "unknown*"}, "shop", "shop"),
        ({"values": {"yes": "1", "n*": "0"}}, "no", "0"),
        ({"values": {"yes": "1"}}, "no", None),
        ({"values": {True: "good"}}, True, "good"),
        ({"index": 0}, ["a", "b"], "a"),
        ({"index": -1}, ["a", "b"], "b"),
        ({"index": 2}, ["a", "b"], None),
        ({"index": 0}, "abc", None),
        ({"json_path": '$["a b"].c'}, '{"a b": {"c": 1.5}}', "1.5"),
        ({"json_path": "$[1]"}, "[1, 2]", "2"),
        ({"json_path": "$.a.b"}, '{"a": []}', None),
        ({"json_path": "$.a", "values": {"x": "y"}}, '{"a": "x"}', "y"),
    ],
)
def test_a_value_is_changed_on_its_way(steps, value, read) -> None:
    assert (
        one({"version": {"attribute": "app.raw", **steps}}, {"app.raw": value}).get("version")
        == read
    )


@pytest.mark.parametrize(
    ("prediction", "attributes", "reason", "said"),
    [
        ({"model": {"attribute": "gone"}}, {}, "missing_model", "attribute gone"),
        (
            {"class": [{"attribute": "a"}, {"resource": "b"}], "required": ["class"]},
            {},
            "missing_class",
            "attribute a or resource b",
        ),
        ({"operation": {"attribute": "op"}}, {"op": "guess"}, "unknown_operation", "'guess'"),
        ({"task": {"attribute": "t"}}, {"t": "guess"}, "unknown_task", "'guess'"),
        ({"score": {"attribute": "s"}}, {"s": "high"}, "bad_type", "'high'"),
        ({"score": {"attribute": "s"}}, {"s": True}, "bad_type", "True"),
        (
            {"class": {"attribute": "j", "json_path": "$.a"}},
            {"j": "{"},
            "bad_json",
            "cut by a limit",
        ),
        ({"class": {"attribute": "j", "json_path": "$.a"}}, {"j": 1}, "bad_json", "not a text"),
        (
            {"class": {"attribute": "j", "json_path": "$.a"}},
            {"j": '{"a":{}}'},
            "bad_type",
            "go further",
        ),
        (
            {"class": {"attribute": "j", "json_path": "$"}},
            {"j": '"' + "x" * 70_000 + '"'},
            "bad_json",
            "70002",
        ),
        (
            {"class": {"attribute": "j", "json_path": "$"}},
            {"j": r'"\ud800"'},
            "bad_text",
            "surrogate",
        ),
        ({"class": {"attribute": "j", "json_path": "$"}}, {"j": "[" * 20_000}, "bad_json", "j ="),
        ({"count": {"attribute": "j", "json_path": "$"}}, {"j": "1" * 30}, "bad_type", "64 bits"),
        ({"adjusted_count": {"attribute": "n"}}, {"n": 0.5}, "bad_adjusted_count", "0.5"),
        ({"event_time": {"attribute": "at"}}, {"at": 17}, "bad_time", "17"),
        ({"prediction_id": {"attribute": "raw"}}, {"raw": b"\x00"}, "bad_type", "not a text"),
    ],
)
def test_what_a_span_lacks_is_refused_with_its_reason(prediction, attributes, reason, said) -> None:
    refused = refusal(prediction, attributes)
    assert (refused.signal, refused.reason) == ("predictions", reason)
    assert refused.message.startswith("mapping 'ours': ")
    assert said in refused.message


def test_a_refused_span_harms_no_other() -> None:
    found = decoded(
        [rule({"score": {"attribute": "s"}})], [span("a", {"s": "x"}), span("b", {"s": 1})]
    )
    assert [row["score"] for row in rows(found.predictions)] == [1.0]
    assert [refused.reason for refused in found.refused] == ["bad_type"]
    assert found.mapped == {"ours": 1}


def test_what_a_span_says_in_our_words_wins() -> None:
    attributes = {
        semconv.PREDICTION_ID: "order-17",
        semconv.OUTPUT_CLASS: "legit",
        semconv.SLICE_PREFIX + "country": "DE",
        semconv.ERROR_TYPE: "Timeout",
    }
    row = one({"prediction_id": {"attribute": "app.model"}, "class": "fraud"}, attributes)
    told = [row[name] for name in ("prediction_id", "predicted", "country", "error_type")]
    assert told == ["order-17", "legit", "DE", "Timeout"]


@pytest.mark.parametrize(
    ("state", "count"),
    [
        ("", 1.0),
        ("ot=th:0", 1.0),
        ("ot=th:8", 2.0),
        ("ot=th:c", 4.0),
        ("vendor=1, ot=rv:0123456789abcd;th:fd70a3d70a3d71", 100.0),
        ("ot=th:ffffffffffffff", float(2**56)),
        ("ot=th:", 1.0),
        ("ot=th:xyz", 1.0),
        ("ot=th:000000000000001", 1.0),
        ("other=th:8", 1.0),
    ],
)
def test_a_sampled_span_stands_for_as_many_as_its_trace_state_says(
    state: str, count: float
) -> None:
    assert adjusted_count(state) == pytest.approx(count, rel=1e-12)
    sampled = span()
    sampled.trace_state = state
    assert rows(decoded([rule()], [sampled]).predictions)[0]["adjusted_count"] == pytest.approx(
        count
    )
    # The mapping knows better.
    told = decoded([rule({"adjusted_count": 7})], [sampled])
    assert rows(told.predictions)[0]["adjusted_count"] == 7.0


def test_scopes_say_beforehand_which_spans_could_be_taken() -> None:
    mappings = [
        {**rule(None, scope="a.*", attributes={"x": "1"}), "name": "one"},
        {
            **rule(None, scope=["a.b", "c"], attributes={"z": "*"}, without={"y": "*"}),
            "name": "two",
        },
        {**rule(None, scope="d"), "name": "three"},
    ]
    ours = mapper(mappings)
    assert ours.keys("a.b") == {"x", "z"}
    assert ours.keys("c") == {"z"}
    assert ours.keys("d") is None
    assert ours.keys("e") == frozenset()
    assert ours.keys(semconv.SCOPE_PREDICTIONS) == frozenset()
    assert mapper([rule(None, span="*")]).keys(semconv.SCOPE_RECORDS) == frozenset()
