"""Any span, any mapping: a valid row, a refusal with its reason, or nothing. Never an error."""

from __future__ import annotations

import json
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from mapped_spans import RECEIVED_NS, mapper
from tests.collector.damage import damaged
from tests.collector.otlp_requests import trace_requests
from tests.collector.two_ways import assert_same

from inferspan import semconv
from inferspan_collector.config import Config
from inferspan_collector.config.mappings import LabelFields, PredictionFields
from inferspan_collector.decode import Mapper, decode_traces
from inferspan_collector.testing import NOW_NS, otlp_span, span_ids, traces_request

KEYS = [
    "a",
    "b.c",
    "items.0.name",
    "items.1.name",
    "items.1.score",
    "items.00.name",
    semconv.OUTPUT_CLASS,
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=6,
).map(json.dumps)
SCALARS = st.one_of(
    TEXTS, JSON, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=4)
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(KEYS) | TEXTS, SCALARS | st.lists(st.none() | SCALARS, max_size=3), max_size=6
)
PATTERNS = st.one_of(
    TEXTS, st.just("*"), TEXTS.map(lambda text: f"{text}*"), st.integers(), st.booleans()
)
STEPS = st.fixed_dictionaries(
    {},
    optional={
        "json_path": st.sampled_from(["$", "$.a", "$[0]", "$[-1].b", "$[*]", "$[*].a", '$["b"]']),
        "index": st.integers(-3, 3),
        "template": st.sampled_from(["{}", "{}/", "*/{}", "{}?"]),
        "keep": PATTERNS,
        "drop": PATTERNS,
        "values": st.dictionaries(PATTERNS, TEXTS, max_size=2),
    },
)
PLACES = st.one_of(
    st.builds(lambda key: {"attribute": key}, st.sampled_from(KEYS)),
    st.builds(lambda key: {"resource": key}, st.sampled_from(KEYS)),
    st.builds(
        lambda name: {"span": name}, st.sampled_from(["name", "kind", "trace_id", "span_id"])
    ),
)
ITEMS = st.builds(lambda key: {"item": key}, st.sampled_from(["name", "score"]))
CONSTANTS = st.one_of(TEXTS, st.integers(-(2**70), 2**70), st.floats(allow_nan=False))
CHOSEN = ("operation", "task", "kind", "annotator_kind")
"""Fields of fixed sets, whose constants are checked at the start."""


def read_from(places):
    changed = st.builds(lambda place, steps: {**place, **steps}, places, STEPS)
    return st.lists(places | changed, min_size=1, max_size=2)


def without_values(sources):
    return [{key: each[key] for key in each if key != "values"} for each in sources]


def fields_of(section, places):
    names = [field.alias or name for name, field in section.model_fields.items()]
    plain = [name for name in names if name not in ("required", "slices", "about", "each")]
    sources = {
        name: read_from(places).map(without_values)
        if name in CHOSEN
        else CONSTANTS | read_from(places)
        for name in plain
    }
    chosen = st.sets(st.sampled_from(plain), max_size=4)
    return chosen.flatmap(
        lambda some: st.fixed_dictionaries({name: sources[name] for name in some})
    )


PREDICTIONS = st.builds(
    lambda model, fields, slices: {**fields, "model": model, "slices": slices},
    st.just("fraud") | CONSTANTS | read_from(PLACES),
    fields_of(PredictionFields, PLACES),
    st.dictionaries(st.sampled_from(["x", "y"]), CONSTANTS | read_from(PLACES), max_size=2),
)
LABELS = st.one_of(
    fields_of(LabelFields, PLACES),
    fields_of(LabelFields, PLACES | ITEMS).map(lambda fields: {**fields, "each": "items.{}."}),
    st.just({"each": "items.{}.", "target": {"item": "name"}, "class": {"item": "name"}}),
).flatmap(
    lambda fields: st.sampled_from(["link", "self"]).map(
        lambda it: {"class": "x", **fields, "about": it}
    )
)
EXISTS = st.sampled_from(KEYS[:2]).map(lambda key: {key: "*"})
COMPARED = st.dictionaries(st.sampled_from(KEYS), PATTERNS, max_size=2)
MATCHES = st.fixed_dictionaries(
    {"span": st.sampled_from(["*", "*", "*", "a*"])},
    optional={
        "scope": st.sampled_from(["their*", "their.library", "*"]) | PATTERNS,
        "attributes": EXISTS | COMPARED,
        "without": COMPARED,
        "resource": COMPARED,
    },
)
RULES = st.one_of(
    st.fixed_dictionaries({"match": MATCHES, "prediction": PREDICTIONS}),
    st.fixed_dictionaries({"match": MATCHES, "label": LABELS}),
)
IDS = st.tuples(
    st.integers(0, 2**128 - 1).map(lambda number: number.to_bytes(16, "big")),
    st.integers(0, 2**64 - 1).map(lambda number: number.to_bytes(8, "big")),
)


@st.composite
def mappers(draw):
    rules = draw(st.lists(RULES, min_size=1, max_size=3))
    named = [{"name": f"rule{number}", **rule} for number, rule in enumerate(rules)]
    return Mapper(Config.model_validate({"mappings": named}).mappings)


@st.composite
def requests(draw):
    spans = []
    for number in range(draw(st.integers(1, 3))):
        span = otlp_span(
            draw(TEXTS),
            draw(ATTRIBUTES),
            ids=draw(st.just(span_ids(str(number))) | IDS),
            kind=draw(st.integers(0, 7)),
            start_ns=NOW_NS - draw(st.integers(-(10**9), 10**9)) * number,
            links=draw(st.lists(IDS, max_size=2)),
        )
        span.trace_state = draw(
            st.sampled_from(["", "ot=th:8", "ot=th:fffffffffffffff", "x=1,ot=rv:1"]) | TEXTS
        )
        spans.append(span)
    scope = draw(st.sampled_from(["their.library", "their.other"]) | TEXTS)
    return traces_request(spans, scope=scope, resource=draw(ATTRIBUTES))


@given(mappers(), requests())
def test_any_span_under_any_mapping_is_taken_refused_or_ignored(mapper: Mapper, request) -> None:
    sent = len(request.resource_spans[0].scope_spans[0].spans)
    found = decode_traces(
        request.SerializeToString(), json=False, received_ns=RECEIVED_NS, mapper=mapper
    )

    predicted = len(
        set(
            zip(
                found.predictions.span.tolist(), found.predictions.trace[:, 1].tolist(), strict=True
            )
        )
    )
    refused = [each.signal for each in found.refused]
    carried = sum(
        n for name, n in found.mapped.items() if name in {rule.name for rule in mapper.rules}
    )
    assert predicted <= sent
    # Nothing disappears: every span is a prediction, carries labels, is refused or is ignored.
    assert found.ignored + carried + refused.count("predictions") + refused.count("labels") >= sent
    assert all(each.reason and each.message for each in found.refused)
    assert all(text for text in found.predictions.model.objects())
    assert set(found.predictions.operation.objects().tolist()) <= set(semconv.OPERATIONS)
    assert (found.predictions.adjusted_count >= 1).all()


NEAR = ["a", "b", "ab", "app.model", "app.modem", "app.model.name"]
"""Keys that are easily taken for one another."""
KEYED = st.lists(
    st.tuples(st.sampled_from(["their.*", "their.library", "*"]), st.sampled_from(NEAR)),
    min_size=1,
    max_size=3,
)
CARRYING = st.lists(st.lists(st.sampled_from(NEAR), max_size=3), min_size=1, max_size=5)


@given(KEYED, CARRYING, st.sampled_from(["their.library", "their.other", "x"]))
def test_spans_are_passed_by_where_they_carry_no_key_that_a_mapping_looks_for(
    rules, spans, scope: str
) -> None:
    ours = mapper(
        [
            {
                "name": f"rule{number}",
                "match": {"scope": wanted, "attributes": {key: "*"}},
                "prediction": {"model": "fraud"},
            }
            for number, (wanted, key) in enumerate(rules)
        ]
    )
    sent = [
        otlp_span(f"span {number}", dict.fromkeys(keys, "x")) for number, keys in enumerate(spans)
    ]
    for span in sent:
        # As SDKs send them; the fields stand behind the attributes.
        span.flags = 0x101
        span.trace_state = "ot=th:8"
        span.events.add(name="exception", time_unix_nano=NOW_NS)
        span.status.code = span.status.STATUS_CODE_OK
    body = traces_request(sent, scope=scope).SerializeToString()

    assert_same(partial(decode_traces, mapper=ours), body, RECEIVED_NS)
    found = decode_traces(body, json=False, received_ns=RECEIVED_NS, mapper=ours)
    carrying = sum(bool((ours.keys(scope) or set()) & set(keys)) for keys in spans)
    assert (len(found.predictions), found.ignored) == (carrying, len(spans) - carrying)


@given(mappers(), st.lists(requests() | trace_requests(), min_size=1, max_size=2))
def test_the_compiled_way_leaves_what_a_mapping_may_take(mapper: Mapper, parts) -> None:
    body = b"".join(part.SerializeToString() for part in parts)
    assert_same(partial(decode_traces, mapper=mapper), body, RECEIVED_NS)


@given(mappers(), requests(), st.integers(0, 2**32))
def test_a_damaged_request_reads_the_same_both_ways(mapper: Mapper, request, seed: int) -> None:
    body = damaged(request.SerializeToString(), seed, 2)
    assert_same(partial(decode_traces, mapper=mapper), body, RECEIVED_NS)


@given(mappers(), requests())
def test_a_span_without_the_keys_of_its_scope_is_taken_by_no_mapping(
    mapper: Mapper, request
) -> None:
    """What lets the decoder pass by spans of others without looking at them."""
    (in_scope,) = request.resource_spans[0].scope_spans
    keys = mapper.keys(in_scope.scope.name)
    found = decode_traces(
        request.SerializeToString(), json=False, received_ns=RECEIVED_NS, mapper=mapper
    )
    candidates = [
        span
        for span in in_scope.spans
        if keys is None or keys & {pair.key for pair in span.attributes}
    ]
    assert found.ignored >= len(in_scope.spans) - len(candidates)
    if not candidates:
        assert found.mapped == {}
        assert found.refused == ()
