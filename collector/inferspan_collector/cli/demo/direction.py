"""The demo's course: who starts when, what changes when, and what is checked."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from inferspan_collector.cli.client import Client, Refused, Unreachable
from inferspan_collector.cli.demo.board import Accuracy, Board, Expected, accuracy_of, look
from inferspan_collector.cli.demo.clinic import Plan
from inferspan_collector.cli.demo.names import CHANGED, HOSPITAL_SLICE, MODEL
from inferspan_collector.cli.demo.processes import (
    Child,
    DemoFailed,
    EmbeddedCollector,
    Messages,
    sdk_environment,
)
from inferspan_collector.cli.demo.serving import Assignment
from inferspan_collector.cli.demo.verdict import Comparison, Served, compare
from inferspan_collector.cli.demo.view import View, percent

PACKAGE: Final = "inferspan_collector.cli.demo"
REFRESH_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 120.0
"""For one step, beyond the time it is planned to take."""
KILL_SHARE: Final = 0.82
"""When the collector is killed, of all visits."""
MINUTE_NS: Final = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo plays.

    `embedded` is None where the collector is somebody else's, and is left alive.
    """

    otlp: str
    api: str
    embedded: EmbeddedCollector | None
    jaeger: str | None
    """Jaeger's OTLP/HTTP endpoint, or None."""
    logs: Path
    run: str
    now_ns: int

    @property
    def environment(self) -> str:
        """The deployment environment of this demo's predictions."""
        return f"demo-{self.run}"


@dataclass(slots=True)
class Outcome:
    """What the demo found."""

    comparisons: list[Comparison] = field(default_factory=list)
    acts: dict[str, dict[str, Accuracy | None]] = field(default_factory=dict)
    """Hospital → before, changed, fixed → accuracy."""
    board: Board = field(default_factory=Board)
    expected: Expected | None = None
    """What was expected when the estimate fell; None = it did not, or nothing was estimated."""
    survived_kill: bool | None = None
    """Whether version 1's figures were the same after the kill; None = nobody was killed."""


class Demo:
    """One performance.

    Args:
        plan: what happens.
        stage: where.
        view: who is told.
    """

    _pathology: Child

    def __init__(self, plan: Plan, stage: Stage, view: View) -> None:
        self._plan = plan
        self._stage = stage
        self._view = view
        self._messages: Messages = queue.Queue()
        self._client = Client(stage.api)
        self._assignment = Assignment(
            seconds=plan.seconds,
            seed=plan.seed,
            run=stage.run,
            # The last minute of the replay is over by now: nothing is dated ahead of us.
            start_ns=(stage.now_ns // MINUTE_NS - plan.minutes) * MINUTE_NS,
            jaeger=stage.jaeger,
        )
        self._predicted: list[str] = []
        self._told: dict[str, Any] = {}
        """What processes told beside predictions, the newest of each kind."""
        self._began: float | None = None
        self._refreshed = 0.0
        self._board = Board()
        self._fall_told = False
        self._expected: Expected | None = None

    def play(self) -> Outcome:
        """Play it to the end.

        Raises:
            DemoFailed: a process ended too early, or a step took far too long.
            Unreachable: the collector went away by itself.
        """
        plan, view = self._plan, self._view
        outcome = Outcome()
        with self._processes():
            view.say(
                "Three hospitals screen for tumours with one model.",
                "Each prediction is a trace; what was really true comes later, in any order, from "
                f"another process. {plan.minutes} minutes of clinic pass in {plan.seconds} s.",
            )
            self._serve_until(plan.change_minute * plan.visits // plan.minutes)
            view.say(
                f"{CHANGED}'s scanner now calls eight of its ten columns by other names.",
                "The model fills in what it does not find: no call fails, none is slower. Latency "
                "and errors stay green; watch the accuracy.",
            )
            self._serve_until(plan.fix_minute * plan.visits // plan.minutes)
            view.say(
                "Version 2 is served: it knows both names.",
                "Every version has its own figures, so a fix shows whether it works.",
            )
            self._serve_until(round(plan.visits * KILL_SHARE))
            if self._stage.embedded is not None:
                outcome.survived_kill = self._kill(self._stage.embedded)
            self._serve_until(plan.visits)
            self._wait("serving.flushed")
            self._pathology.end_input()
            self._wait("pathology.flushed")
            self._check_flushed()
        self._refresh(force=True)
        view.say("The last label is in.", "Now scikit-learn computes every figure once more.")
        outcome.board = self._board
        outcome.expected = self._expected
        outcome.acts = self._acts()
        outcome.comparisons = compare(self._client, self._stage.environment, self._served())
        return outcome

    def _kill(self, collector: EmbeddedCollector) -> bool:
        """Kill -9 while predictions go on; whether what was answered is all there afterwards.

        Version 1 has been replaced and its labels are held, so that its figures stand still.
        """
        self._wait("serving.deployed")
        self._pathology.say({"hold": True})
        self._wait("pathology.held")
        before = self._first_version()
        self._view.say(
            f"kill -9 {collector.pid}: the collector is gone.",
            "The model goes on; senders keep what was not answered and send it again.",
        )
        killed = time.monotonic()
        collector.kill()
        collector.start()
        seconds = time.monotonic() - killed
        after = self._first_version()
        predictions = sum(window["predictions"] for window in after)
        labelled = sum(window["labeled"] for window in after)
        unchanged = before == after
        self._view.say(
            f"It is back after {seconds:.1f} s: version 1 has {predictions:,} predictions and "
            f"{labelled:,} labels, {'as before' if unchanged else 'NOT as before'}.",
            "A sender is answered after the commit: nothing answered is lost, nothing counts "
            "twice.",
        )
        self._pathology.say({"hold": False})
        return unchanged

    def _first_version(self) -> list[dict[str, Any]]:
        return self._client.quality(
            MODEL,
            every="1m",
            by=HOSPITAL_SLICE,
            version="1",
            environment=self._stage.environment,
        )

    def _acts(self) -> dict[str, dict[str, Accuracy | None]]:
        plan = self._plan
        start = self._assignment.start_ns // MINUTE_NS
        ends = {
            "before": (0, plan.change_minute),
            "changed": (plan.change_minute, plan.fix_minute),
            "fixed": (plan.fix_minute, plan.minutes),
        }
        acts: dict[str, dict[str, Accuracy | None]] = {}
        for act, (first, last) in ends.items():
            asked = {"from": (start + first) * 60, "to": (start + last) * 60}
            for window in self._client.quality(
                MODEL, every="all", by=HOSPITAL_SLICE, environment=self._stage.environment, **asked
            ):
                acts.setdefault(window["group"][HOSPITAL_SLICE], {})[act] = accuracy_of(window)
        return acts

    def _served(self) -> list[Served]:
        """Every prediction as the model server told it, with its truth in the end."""
        plan = self._plan
        return [
            Served(
                hospital=plan.hospital(visit),
                version=plan.version(visit),
                predicted=predicted,
                actual=plan.actual(visit) if plan.labels(visit) else None,
            )
            for visit, predicted in enumerate(self._predicted)
        ]

    def _serve_until(self, visits: int) -> None:
        self._pump(lambda: len(self._predicted) >= visits, f"{visits} predictions")

    def _wait(self, told: str) -> None:
        self._pump(lambda: told in self._told, told)

    def _pump(self, until: Callable[[], bool], waiting_for: str) -> None:
        """Hear the processes and keep the table fresh until something is true."""
        deadline = time.monotonic() + self._plan.seconds + PATIENCE_SECONDS
        while not until():
            if time.monotonic() > deadline:
                raise DemoFailed(f"waited too long for {waiting_for}")
            with contextlib.suppress(queue.Empty):
                self._hear(*self._messages.get(timeout=0.1))
            self._refresh()

    def _hear(self, name: str, message: dict[str, Any]) -> None:
        if "visit" in message:
            visit = message["visit"]
            self._predicted.append(message["predicted"])
            for label in self._plan.labels(visit):
                self._pathology.say(
                    {
                        "delay": label.delay,
                        "id": self._assignment.prediction_id(visit),
                        "actual": label.actual,
                        "revision": label.revision,
                    }
                )
            return
        if message.get("serving"):
            self._began = time.monotonic()
        if "ended" in message and f"{name}.flushed" not in self._told:
            raise DemoFailed(f"the {name} process ended early, code {message['ended']}")
        self._told.update({f"{name}.{key}": value for key, value in message.items()})

    def _check_flushed(self) -> None:
        for name in ("serving", "pathology"):
            if not self._told[f"{name}.flushed"]:
                raise DemoFailed(f"the {name} process could not hand over all it had to send")

    def _refresh(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._refreshed < REFRESH_SECONDS:
            return
        minute = self._plan.minute(max(0, len(self._predicted) - 1))
        start = self._assignment.start_ns // MINUTE_NS
        self._board = look(
            self._client,
            self._plan,
            self._stage.environment,
            start,
            minute,
            expecting=self._expected is None,
        )
        # From here on: a slow answer must not leave messages unheard, nor stand at an earlier time.
        self._refreshed = answered = time.monotonic()
        elapsed = answered - (self._began or answered)
        self._view.show(self._board, elapsed, float(self._plan.seconds))
        expected = self._board.expected
        if expected is not None and expected.fell and self._expected is None:
            self._expected = expected
            self._view.say(
                f"Estimated accuracy fell: {percent(expected.before)} → {percent(expected.now)}, "
                f"with labels for {expected.labelled} of {expected.now.n} predictions.",
                "The estimate asks no label: what scores were worth before says what to expect.",
            )
        for hospital in self._board.hospitals:
            if hospital.name == CHANGED and hospital.fell and not self._fall_told:
                self._fall_told = True
                self._view.say(
                    f"Accuracy at {hospital.name} fell: {percent(hospital.before)} → "
                    f"{percent(hospital.now)}.",
                    "The intervals do not meet: more than chance. Labels confirm it, and say "
                    "where.",
                )

    @contextlib.contextmanager
    def _processes(self) -> Generator[None]:
        """Model server and pathology; ended whatever happens, their logs told on failure."""
        environment = sdk_environment(self._stage.otlp, self._stage.environment)
        children: list[Child] = []
        try:
            for name, module, arguments in (
                ("pathology", "labelling", []),
                ("serving", "serving", [self._assignment.to_json()]),
            ):
                command = ["-m", f"{PACKAGE}.{module}", *arguments]
                logs = self._stage.logs
                children.append(Child(name, command, environment, self._messages, logs))
            self._pathology = children[0]
            yield
        except (DemoFailed, Unreachable, Refused) as error:
            tails = [f"{child.name}: {tail}" for child in children if (tail := child.log_tail())]
            raise DemoFailed("\n".join([str(error), *tails])) from error
        finally:
            for child in children:
                child.stop()
