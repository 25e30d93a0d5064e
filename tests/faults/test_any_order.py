"""Any interleaving of records, repetitions, restarts and clocks counts as its records do."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    rule,
    run_state_machine_as_test,
)
from in_process import running
from rounds import ROUNDS
from senders import PATIENT_SECONDS, OverHttp
from traffic import MODEL, SECOND_NS, Request
from truth import Figures, Label, Prediction, Truth, counted, listed

from inferspan_collector.testing import NOW_NS, ManualClock, span_ids

DAY_NS = 86_400 * SECOND_NS
VERSIONS = ("1", "2")
TARGETS = ("default", "chargeback")
SOURCES = ("rules", "reviewer")
CLASSES = ("fraud", "legit")
IDS = tuple(f"order-{number}" for number in range(3))
TOGETHER_MAX = 4

spans = st.integers(0, 3)


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    """One of a few spans of a few keys; what a span says follows from which it is."""
    version, prediction_id, span = (
        draw(st.sampled_from(VERSIONS)),
        draw(st.sampled_from(IDS)),
        draw(spans),
    )
    return Prediction(
        key=(version, prediction_id),
        predicted=CLASSES[span % 2],
        ids=span_ids(f"{version} {prediction_id} {span}"),
        time_ns=NOW_NS - DAY_NS + span * 100 * SECOND_NS,
        kind=(2, 3)[span % 2],
    )


@st.composite
def labels(draw: st.DrawFn) -> Label:
    """A first label, a correction, a withdrawal, of any source and target; its id follows."""
    said = {
        "prediction_id": draw(st.sampled_from(IDS)),
        "actual": draw(st.sampled_from((*CLASSES, None))),
        "time_ns": NOW_NS - DAY_NS // 2 + draw(st.integers(0, 2)) * SECOND_NS,
        "revision": draw(st.integers(0, 2)),
        "version": draw(st.sampled_from((None, None, *VERSIONS))),
        "source": draw(st.sampled_from((None, *SOURCES))),
        "target": draw(st.sampled_from(TARGETS)),
    }
    # An id as short as those of senders: a longer one than 128 characters would be hashed.
    label_id = blake2b(repr(sorted(said.items())).encode(), digest_size=8).hexdigest()
    return Label(label_id=label_id, **said)


def requests() -> st.SearchStrategy[Request]:
    """A request over any way; over OTLP it may hold both kinds of record, and one of them twice."""
    some_labels = st.lists(labels(), min_size=1, max_size=4)
    return st.one_of(
        st.builds(
            lambda rows, zipped: Request("/v1/traces", tuple(rows), zipped),
            st.lists(predictions() | labels(), min_size=1, max_size=5),
            st.booleans(),
        ),
        st.builds(lambda rows: Request("/v1/logs", tuple(rows)), some_labels),
        st.builds(lambda rows: Request("/v1/labels", tuple(rows)), some_labels),
    )


class AnyOrder(RuleBasedStateMachine):
    """A collector in this process, and beside it what must be true."""

    settings_of_store: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._clock = ManualClock()
        self._truth = Truth({source: rank for rank, source in enumerate(SOURCES)})
        self._sent: list[Request] = []
        self._directory = Path(tempfile.mkdtemp(prefix="any-order-"))
        self._generation = 0
        self._start()

    @rule(request=requests())
    def send(self, request: Request) -> None:
        """One request, answered with success."""
        with closing(OverHttp(self._otlp_http, self._api, PATIENT_SECONDS)) as way:
            way.send(request)
        self._note(request)

    @rule(group=st.lists(requests(), min_size=2, max_size=TOGETHER_MAX))
    def send_together(self, group: list[Request]) -> None:
        """Several at once, which may share a transaction."""
        with ThreadPoolExecutor(TOGETHER_MAX) as senders:
            ways = [OverHttp(self._otlp_http, self._api, PATIENT_SECONDS) for _ in group]
            for sent in [senders.submit(way.send, r) for way, r in zip(ways, group, strict=True)]:
                sent.result()
            for way in ways:
                way.close()
        for request in group:
            self._note(request)

    @rule(which=st.integers(0, 1_000))
    def send_again(self, which: int) -> None:
        """What was acknowledged before: an answer was lost on its way."""
        if self._sent:
            self.send(self._sent[which % len(self._sent)])

    @rule(hours=st.integers(-3, 3))
    def set_the_clock(self, hours: int) -> None:
        """Clocks jump, forwards and back."""
        self._clock.advance(hours * 3_600)

    @rule()
    def stop_and_start(self) -> None:
        """As an operator does it."""
        self._stack.close()
        self._start()

    @rule()
    def die_and_start(self) -> None:
        """The files as they are after an acknowledgement, without any farewell."""
        copied = self._directory / f"data-{self._generation + 1}"
        shutil.copytree(self._data, copied)
        self._stack.close()
        self._generation += 1
        self._start()

    @rule()
    def look(self) -> None:
        """Rows and counts of both targets are those of the set of records."""
        for target in TARGETS:
            expected = self._truth.rows(target)
            assert listed(self._api, MODEL, target=target) == expected
            assert counted(self._api, MODEL, target=target) == Figures.of(expected)

    def teardown(self) -> None:
        try:
            self.look()
        finally:
            self._stack.close()
            shutil.rmtree(self._directory)

    @property
    def _data(self) -> Path:
        return self._directory / f"data-{self._generation}"

    def _start(self) -> None:
        ranked = {target: {"sources": SOURCES} for target in TARGETS}
        settings = {
            "store": {"compact_every": 2} | self.settings_of_store,
            "models": {MODEL: {"targets": ranked}},
        }
        collector = self._stack.enter_context(running(self._data, settings, self._clock.now_ns))
        self._otlp_http, self._api = collector.otlp_http, collector.api

    def _note(self, request: Request) -> None:
        self._sent.append(request)
        for record in request.records:
            self._truth.add(record)


@pytest.mark.parametrize(
    "store",
    [{}, {"hot_keys": 2, "cold_keys": 2}, {"hot_keys": 0}],
    ids=["from memory", "from memory and from the file", "from the file"],
)
def test_any_interleaving_counts_as_the_set_of_its_records(store: dict[str, Any]) -> None:
    machine = type("AnyOrderWith", (AnyOrder,), {"settings_of_store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=ROUNDS // 2,
            stateful_step_count=12,
            # A failing run has a dozen steps at most; to shrink it would take minutes.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
