"""Labels on spans of others: evaluations, annotations, feedback."""

from __future__ import annotations

import pytest
from mapped_spans import decoded

from inferspan_collector.testing import NOW_NS, otlp_span, span_ids

JUDGED = {
    "name": "judged",
    "match": {"attributes": {"judge": "*"}},
    "label": {
        "each": "verdicts.{}.",
        "target": {"item": "name"},
        "kind": "evaluation",
        "class": {"item": "label"},
        "value": {"item": "score"},
        "id": {"item": "id"},
        "source": {"attribute": "judge"},
        "required": ["target"],
    },
}
LINK = [span_ids("work")]


def verdicts(*items, **others):
    attributes = {"judge": "m1"}
    for number, item in enumerate(items):
        attributes |= {f"verdicts.{number}.{key}": value for key, value in item.items()}
    return otlp_span("judge", attributes, **{"links": LINK, **others})


def told(batch):
    names = ("target", "actual", "source", "kind")
    columns = [getattr(batch, name).objects().tolist() for name in names]
    return list(zip(*columns, batch.value.tolist(), strict=True))


def test_a_span_carries_a_label_for_each_number() -> None:
    items = (
        {"name": "tone", "label": "rude"},
        {"name": "help", "score": 0.5},
        {"name": "b", "label": "x", "score": 1},
    )
    found = decoded([JUDGED], [verdicts(*items)])
    first, second, third = told(found.labels)
    assert first[:4] == ("tone", "rude", "m1", "evaluation")
    assert second == ("help", "0.5", "m1", "evaluation", 0.5)
    assert third == ("b", "x", "m1", "evaluation", 1.0)
    assert set(found.labels.link_span.tolist()) == {int.from_bytes(LINK[0][1], "big")}
    assert set(found.labels.time.tolist()) == {NOW_NS - 1_000_000_000 + 5_000_000}
    assert found.mapped == {"judged": 1}
    assert len(found.predictions) == found.ignored == 0


def test_the_same_label_sent_again_is_the_same_and_its_own_id_survives_a_change() -> None:
    def ids(*items):
        return decoded([JUDGED], [verdicts(*items)]).labels.label_id.objects().tolist()

    plain, changed = {"name": "tone", "label": "rude"}, {"name": "tone", "label": "kind"}
    assert ids(plain) == ids(plain) != ids(changed)
    assert ids({**plain, "score": 1.0}) != ids(plain)
    assert ids({**plain, "id": "j"}) == ids({**changed, "id": "j", "score": 1.0})
    assert ids({**plain, "id": "j"}) != ids({**plain, "id": "k"})
    assert ids({**plain, "id": "j"}) != ids({**plain, "name": "help", "id": "j"})


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (verdicts({"label": "rude"}), "missing_target"),
        (verdicts({"name": "tone"}), "missing_value"),
        (verdicts({"name": "tone", "label": "rude", "score": "high"}), "bad_type"),
        (
            verdicts({"name": "tone", "label": "rude"}, links=[*LINK, span_ids("b")]),
            "ambiguous_link",
        ),
        (verdicts({"name": "tone", "label": "rude"}, links=[]), "missing_model"),
    ],
)
def test_a_label_that_cannot_be_used_is_refused_alone(sent, reason: str) -> None:
    good = verdicts({"name": "tone", "label": "kind"}, ids=span_ids("other judge"))
    found = decoded([JUDGED], [sent, good])
    assert [(refused.signal, refused.reason) for refused in found.refused] == [("labels", reason)]
    assert found.refused[0].message.startswith("mapping 'judged': ")
    assert [row[1] for row in told(found.labels)] == ["kind"]


def test_a_span_carries_so_many_labels_and_no_more() -> None:
    found = decoded([JUDGED], [verdicts(*({"name": f"t{n}", "label": "x"} for n in range(70)))])
    assert len(found.labels) == 64
    assert [(refused.reason, "6 labels more" in refused.message) for refused in found.refused] == [
        ("too_many_labels", True)
    ]


def test_a_label_may_name_its_prediction_by_id() -> None:
    feedback = {
        "name": "thumbs",
        "match": {"span": "feedback"},
        "label": {
            "model": {"attribute": "model"},
            "prediction_id": {"attribute": "order"},
            "target": "thumbs",
            "class": {"attribute": "up", "values": {True: "good", False: "bad"}},
        },
    }
    sent = otlp_span("feedback", {"model": "fraud", "order": "o-1", "up": False})
    found = decoded([feedback], [sent])
    assert told(found.labels)[0][:2] == ("thumbs", "bad")
    assert found.labels.prediction_id.objects().tolist() == ["o-1"]
