"""`inferspan labels`: what a file says arrives once, and what is refused is named by its line."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_process import (
    MODEL,
    Served,
    counts,
    inferspan,
    send_predictions,
    send_spans,
    serving,
)

from inferspan_collector import testing
from inferspan_collector.cli.client import Answer, Client, Unreachable
from inferspan_collector.cli.exits import Exit
from inferspan_collector.cli.label_files import Row
from inferspan_collector.cli.label_push import ATTEMPTS_MAX, Failure, push

IDS = [f"order-{i}" for i in range(20)]
CSV = (
    "order_id,customer,is_fraud,confirmed_at\n"
    'order-0,"Doe, Jane",legit,2026-11-20T06:00:00Z\n'
    "order-1,Roe,fraud,2026-11-20T06:00:00+01:00\n"
    "order-2,Poe,,\n"
    "order-3,Moe,legit,\n"
)
COLUMNS = ("--model", MODEL, "--id-column", "order_id", "--actual-column", "is_fraud")
TIMES = ("--time-column", "confirmed_at")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "data", otlp_grpc="off") as running:
        send_predictions(running.otlp_http, IDS)
        yield running


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    file = tmp_path / "outcomes.csv"
    file.write_text(CSV)
    return file


def summary_of(
    *arguments: str, code: Exit = Exit.OK, stdin: str | None = None
) -> dict[str, object]:
    done = inferspan("labels", "push", *arguments, "--json", stdin=stdin)
    assert done.returncode == code, done.stderr
    summary: dict[str, object] = json.loads(done.stdout)
    return summary


def test_a_csv_pushed_twice_counts_once(served: Served, csv_file: Path) -> None:
    arguments = (str(csv_file), *COLUMNS, *TIMES, "--api", served.api)
    first = summary_of(*arguments)
    assert first["results"] == {"joined": 3}
    assert first["without_truth"] == 1
    assert summary_of(*arguments)["results"] == {"duplicate": 3}
    assert counts(served.api) == (len(IDS), 3)


def test_the_summary_reads_well(served: Served, csv_file: Path) -> None:
    done = inferspan("labels", "push", str(csv_file), *COLUMNS, "--api", served.api)
    assert done.returncode == Exit.OK
    assert done.stdout.splitlines() == [
        "3 labels accepted: 3 joined",
        "1 row without a truth so far, skipped",
    ]


def test_a_dry_run_stores_nothing_and_shows_ids_side_by_side(served: Served) -> None:
    lines = [
        {"prediction_id": IDS[0], "class": "legit"},
        {"prediction_id": "o-1", "class": "legit"},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    arguments = ("-", "--model", MODEL, "--dry-run", "--api", served.api)
    summary = summary_of(*arguments, stdin=text)
    assert summary["results"] == {"joined": 1, "waiting": 1}
    assert summary["unmatched_ids"] == ["o-1"]
    held = summary["held_ids"]
    assert isinstance(held, list)
    assert set(held) <= set(IDS)
    assert held
    assert counts(served.api) == (len(IDS), 0)
    shown = inferspan("labels", "push", *arguments, stdin=text).stdout
    assert "2 labels would be accepted: 1 joined, 1 waiting" in shown
    assert "o-1" in shown
    assert "look like: order-" in shown


def test_a_dry_run_names_classes_that_no_prediction_says(served: Served) -> None:
    text = "\n".join(
        json.dumps({"prediction_id": IDS[n], "class": said})
        for n, said in enumerate(("legit", "LEGIT", "fraud"))
    )
    arguments = ("-", "--model", MODEL, "--dry-run", "--api", served.api)
    shown = inferspan("labels", "push", *arguments, stdin=text).stdout.splitlines()[-1]
    assert "labels say `LEGIT`, `fraud`, which none of the newest predictions says" in shown
    assert f"{MODEL} says `legit`" in shown
    assert f"models.{MODEL}.class_aliases" in shown
    assert "LEGIT" in str(summary_of(*arguments, stdin=text)["classes"])
    assert "classes" not in summary_of(*arguments, stdin=text.splitlines()[0])


def test_an_unknown_model_is_said_and_which_there_are(served: Served, csv_file: Path) -> None:
    columns = ("--model", "wien", *COLUMNS[2:])
    done = inferspan("labels", "push", str(csv_file), *columns, "--dry-run", "--api", served.api)
    assert done.returncode == Exit.OK
    last = done.stdout.splitlines()[-1]
    assert last == f"no model 'wien' has sent a prediction; models that have: {MODEL}"


def test_the_otlp_port_is_not_the_api(served: Served, csv_file: Path) -> None:
    arguments = ("labels", "push", str(csv_file), *COLUMNS, "--api", served.otlp_http)
    done = inferspan(*arguments)
    assert done.returncode == Exit.USAGE
    assert f"{served.otlp_http} is not a collector's API" in done.stderr
    assert "--api URL" in done.stderr


def test_bad_rows_are_named_by_line_and_take_no_neighbour_with_them(
    served: Served, tmp_path: Path
) -> None:
    lines = [
        json.dumps({"prediction_id": IDS[0], "class": "legit"}),
        "{broken",
        json.dumps({"class": "legit"}),
        json.dumps({"prediction_id": IDS[1], "class": "legit", "time": "2026-11-20T06:00:00"}),
        "",
        json.dumps({"prediction_id": IDS[2], "class": "fraud", "revision": -1}),
        json.dumps({"prediction_id": IDS[3], "class": "fraud"}),
    ]
    file, failures = tmp_path / "labels.ndjson", tmp_path / "failures.ndjson"
    file.write_text("\n".join(lines))
    summary = summary_of(
        *(str(file), "--model", MODEL, "--failures", str(failures), "--api", served.api),
        code=Exit.FAILED,
    )
    assert summary["accepted"] == 2
    assert summary["failed"] == 4
    entries = map(json.loads, failures.read_text().splitlines())
    told = {entry["line"]: entry["reason"] for entry in entries}
    assert sorted(told) == [2, 3, 4, 6]
    assert "not JSON" in told[2]
    assert "--assume-utc" in told[4]
    assert "revision" in told[6]
    assert counts(served.api) == (len(IDS), 2)


def test_ids_leave_keyed_as_the_sdk_keys_them(
    served: Served, csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = hmac.new(b"secret", b"order-1", hashlib.sha256).hexdigest()
    send_predictions(served.otlp_http, [keyed])
    monkeypatch.setenv("INFERSPAN_ID_KEY", "secret")
    summary = summary_of(str(csv_file), *COLUMNS, "--api", served.api)
    assert summary["results"] == {"joined": 1, "waiting": 2}
    unmatched = summary["unmatched_ids"]
    assert isinstance(unmatched, list)
    assert not set(unmatched) & set(IDS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--id-column", "id", "--actual-column", "is_fraud"), "order_id, customer, is_fraud"),
        (("--actual-column", "is_fraud"), "--id-column"),
        (("--id-column", "order_id"), "--actual-column"),
    ],
)
def test_a_wrong_column_names_those_there_are(
    csv_file: Path, served: Served, arguments: tuple[str, ...], said: str
) -> None:
    done = inferspan("labels", "push", str(csv_file), *arguments, "--api", served.api)
    assert done.returncode == Exit.USAGE
    assert said in done.stderr


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = inferspan("labels", "push", str(tmp_path / "absent.csv"))
    assert done.returncode == Exit.USAGE
    assert "absent.csv: cannot read it: No such file or directory" in done.stderr


def test_a_format_that_cannot_be_guessed_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "labels.xlsx"
    file.write_bytes(b"")
    done = inferspan("labels", "push", str(file))
    assert done.returncode == Exit.USAGE
    assert "--format" in done.stderr


def test_nothing_listens_is_said_with_the_remedy(csv_file: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        api = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for command in (("push", str(csv_file), *COLUMNS), ("status", "--model", MODEL)):
            done = inferspan("labels", *command, "--api", api)
            assert done.returncode == Exit.UNREACHABLE
            assert done.stderr.splitlines() == [
                f"inferspan: no collector answers at {api} (connection refused); start one with "
                "`inferspan serve`, or name another with --api URL"
            ]


def test_status_says_when_no_label_came_and_leaves_calls_that_raised_out_as_coverage_does(
    served: Served,
) -> None:
    raised = testing.prediction_span("order-raised", {}, model=MODEL, failed=True)
    send_spans(served.otlp_http, [raised])
    shown = inferspan("labels", "status", "--model", MODEL, "--api", served.api).stdout
    assert shown.splitlines() == [
        "fraud: 0 of 20 predictions are labelled (0.0%); 1 more raised, and needs none",
        "no label of any model has come since the collector started",
    ]


def test_status_shows_the_name_of_a_model_as_it_is(served: Served) -> None:
    name = "a model [red] [/b] of a name more than eighty columns, for which there is no room"
    send_spans(served.otlp_http, [testing.prediction_span("order-x", model=name)])
    done = inferspan("labels", "status", "--model", name, "--api", served.api)
    assert done.returncode == 0, done.stderr
    assert f"{name}: 0 of 1 predictions are labelled" in done.stdout


def test_status_counts_labels_by_what_became_of_them(served: Served, csv_file: Path) -> None:
    arguments = (str(csv_file), *COLUMNS, *TIMES, "--api", served.api)
    summary_of(*arguments)
    summary_of(*arguments)
    done = inferspan("labels", "status", "--model", MODEL, "--api", served.api, "--json")
    assert done.returncode == Exit.OK, done.stderr
    status = json.loads(done.stdout)
    assert (status["predictions"], status["labeled"]) == (len(IDS), 3)
    assert status["results"]["joined"] == 3
    assert status["results"]["duplicate"] == 3
    shown = inferspan("labels", "status", "--model", MODEL, "--api", served.api).stdout
    assert "3 of 20 predictions are labelled (15.0%)" in shown
    unknown = inferspan("labels", "status", "--model", "other", "--api", served.api)
    assert unknown.returncode == Exit.USAGE
    assert "other" in unknown.stderr


class Script(Client):
    """A collector that answers as it is told, in order."""

    def __init__(self, *answers: Answer | Unreachable) -> None:
        super().__init__()
        self.answers = list(answers)
        self.bodies: list[bytes] = []

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        self.bodies.append(body or b"")
        answer = self.answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return answer


def busy(retry_after: str) -> Answer:
    return Answer(503, {"retry-after": retry_after}, b'{"detail": "the queue is full"}')


def taken(*lines: int) -> Answer:
    body = "\n".join(json.dumps({"line": line, "id": "l", "result": "joined"}) for line in lines)
    return Answer(200, {"content-type": "application/x-ndjson"}, body.encode())


def rows(n: int) -> list[Row]:
    return [Row(line, {"prediction_id": str(line), "class": "a"}) for line in range(1, n + 1)]


def pushed(client: Script, n: int) -> tuple[int, list[float], list[Failure]]:
    waits: list[float] = []
    failures: list[Failure] = []
    tally = push(
        client,
        rows(n),
        dry_run=False,
        on_failure=failures.append,
        on_batch=lambda _: None,
        wait=waits.append,
        batch_rows=2,
    )
    return tally.accepted, waits, failures


def test_a_busy_collector_is_asked_again_when_it_says() -> None:
    client = Script(busy("7"), busy("999"), taken(1, 2))
    assert pushed(client, 2) == (2, [7.0, 30.0], [])
    assert client.bodies[0] == client.bodies[1] == client.bodies[2]


def test_a_collector_that_restarts_is_waited_for() -> None:
    gone = Unreachable("gone")
    assert pushed(Script(taken(1, 2), gone, gone, taken(1)), 3) == (3, [1.0, 2.0], [])


def test_a_collector_that_never_was_is_not_waited_for() -> None:
    with pytest.raises(Unreachable):
        pushed(Script(Unreachable("nobody")), 2)


def test_patience_ends() -> None:
    client = Script(taken(1, 2), *[Unreachable("gone")] * ATTEMPTS_MAX)
    with pytest.raises(Unreachable):
        pushed(client, 4)
    assert client.answers == []
