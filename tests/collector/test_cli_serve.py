"""`inferspan serve` says where it listens and what holds a port, and loses nothing it answered."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_process import (
    DEADLINE_SECONDS,
    FREE,
    Served,
    counts,
    inferspan,
    models,
    send_predictions,
    serving,
)

from inferspan_collector import listening, testing
from inferspan_collector.cli.exits import Exit
from servers.running import free_addresses


def test_one_line_of_json_says_where_it_listens(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        assert served.otlp_http.startswith("http://127.0.0.1:")
        assert served.api.startswith("http://127.0.0.1:")
        host, port = served.otlp_grpc.split(":")
        socket.create_connection((host, int(port)), DEADLINE_SECONDS).close()
        with urllib.request.urlopen(f"{served.api}/readyz", timeout=DEADLINE_SECONDS) as answer:
            assert answer.status == 200
        assert models(served.api) == []


def test_a_listener_that_is_off_is_null(tmp_path: Path) -> None:
    with serving(tmp_path / "data", otlp_grpc="off") as served:
        assert served.otlp_grpc is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path / "data") as served:
        send_predictions(served.otlp_http, ["a", "b"])
        served.process.send_signal(number)
        assert served.process.wait(DEADLINE_SECONDS) == 0
    with serving(tmp_path / "data") as served:
        assert counts(served.api) == (2, 0)


@contextlib.contextmanager
def half_sent(served: Served) -> Iterator[http.client.HTTPConnection]:
    """A request that is under way, and will be for ever."""
    spans = testing.traces_request([testing.prediction_span("late")]).SerializeToString()
    connection = http.client.HTTPConnection(
        served.otlp_http.removeprefix("http://"), timeout=DEADLINE_SECONDS
    )
    connection.putrequest("POST", "/v1/traces")
    connection.putheader("Content-Type", "application/x-protobuf")
    connection.putheader("Content-Length", str(len(spans)))
    connection.endheaders(spans[:10])
    try:
        yield connection
    finally:
        connection.close()


def test_a_request_that_is_not_whole_when_it_ends_is_sent_away_and_may_come_again(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "data") as served:
        with half_sent(served) as connection:
            # Once a later request is answered, the half one has been read.
            send_predictions(served.otlp_http, ["other"])
            served.process.terminate()
            answer = connection.getresponse()
            assert answer.status == 503
            assert answer.headers["retry-after"] == "5"
        assert served.process.wait(DEADLINE_SECONDS) == 0
    with serving(tmp_path / "data") as served:
        assert counts(served.api) == (1, 0)


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        send_predictions(served.otlp_http, ["a"])
        # Held still, or it might have ended in order before the second one comes.
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            served.process.send_signal(number)
        ended = served.process.wait(DEADLINE_SECONDS)
        assert ended in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    with serving(tmp_path / "data") as served:
        assert counts(served.api) == (1, 0)


def test_a_signal_during_the_first_compilation_is_obeyed_at_once(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "inferspan_collector.cli", "serve", "--data", str(tmp_path / "data")]
        + [word for option in ("otlp-http", "otlp-grpc", "api") for word in (f"--{option}", FREE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "compiled")},
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "compiled code is made ready" in process.stderr.readline()
        process.terminate()
        assert process.wait(DEADLINE_SECONDS) == 0
        assert process.stdout.read() == "", "it never was ready"
    with serving(tmp_path / "data") as served:
        assert models(served.api) == []


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    label = json.dumps({"prediction_id": "7", "model": "fraud", "class": "legit", "id": "l"})
    with serving(tmp_path / "data") as served:
        send_predictions(served.otlp_http, [str(i) for i in range(300)])
        pushed = inferspan("labels", "push", "-", "--api", served.api, stdin=label)
        assert pushed.returncode == Exit.OK, pushed.stderr
        assert counts(served.api) == (300, 1)
        served.process.kill()
        served.process.wait(DEADLINE_SECONDS)
    with serving(tmp_path / "data") as served:
        assert counts(served.api) == (300, 1)
        send_predictions(served.otlp_http, [str(i) for i in range(300)])  # a sender that retries
        assert counts(served.api) == (300, 1)


def test_a_taken_port_is_answered_with_its_holder_and_a_command_that_works(tmp_path: Path) -> None:
    with serving(tmp_path / "first") as first:
        taken = [url.rpartition("/")[2] for url in (first.otlp_http, first.otlp_grpc, first.api)]
        addresses = ("--otlp-http", taken[0], "--otlp-grpc", taken[1], f"--api={taken[2]}")
        second = str(tmp_path / "second")
        refused = inferspan("serve", "--data", second, *addresses)
        assert refused.returncode == Exit.PORT_TAKEN
        assert refused.stdout == ""
        for address in taken:
            assert address in refused.stderr
        assert f"process {first.process.pid}" in refused.stderr
        command = shlex.split(refused.stderr.strip().rpartition("or run: ")[2])
        assert command[:4] == ["inferspan", "serve", "--data", second]
        options = dict(zip(command[4::2], command[5::2], strict=True))
        assert len(set(options.values())) == 3
        with serving(
            tmp_path / "second",
            otlp_http=options["--otlp-http"],
            otlp_grpc=options["--otlp-grpc"],
            api=options["--api"],
        ) as works:
            assert models(works.api) == []


def two_neighbours() -> tuple[str, str]:
    """Two addresses with consecutive ports, both free."""
    while True:
        (address,) = free_addresses(1)
        host, _, port = address.rpartition(":")
        neighbour = f"{host}:{int(port) + 1}"
        with contextlib.suppress(OSError):
            listening.bind(neighbour).close()
            return address, neighbour


def test_the_command_that_works_takes_no_port_of_its_own_and_no_data_of_others(
    tmp_path: Path,
) -> None:
    # The API's port is right where the search for another gRPC port begins.
    taken, api = two_neighbours()
    with serving(tmp_path / "data", otlp_grpc=taken) as first:
        refused = inferspan(
            *("serve", "--data", str(tmp_path / "data"), "--api", api),
            *("--otlp-http", FREE, "--otlp-grpc", first.otlp_grpc),
        )
    assert refused.returncode == Exit.PORT_TAKEN
    command = shlex.split(refused.stderr.strip().rpartition("or run: ")[2])
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert options["--api"] == api
    assert options["--otlp-grpc"] not in (api, first.otlp_grpc)
    assert options["--otlp-http"] == FREE
    assert options["--data"] == f"{tmp_path / 'data'}-2"


def test_a_data_directory_in_use_is_said(tmp_path: Path) -> None:
    with serving(tmp_path / "data"):
        addresses = ("--otlp-http", FREE, "--otlp-grpc", FREE, "--api", FREE)
        refused = inferspan("serve", "--data", str(tmp_path / "data"), *addresses)
    assert refused.returncode == Exit.STORE_UNUSABLE
    assert "in use" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--api", "nonsense"), "receivers.api"),
        (("--api", "0.0.0.0:0"), "allow_public"),
        (("--config", "absent.yaml"), "absent.yaml"),
        (("--jaeger", "jaeger:4318", "--otlp-http", FREE, "--api", FREE), "jaeger.otlp"),
    ],
)
def test_a_mistake_ends_it_before_it_starts(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    refused = inferspan("serve", "--data", str(tmp_path / "data"), "--otlp-grpc", "off", *arguments)
    assert refused.returncode == Exit.USAGE
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_address_of_another_machine_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "inferspan.yaml"
    file.write_text("receivers: {allow_public: true, otlp_http: off, otlp_grpc: off}\n")
    # 192.0.2.0/24 is set aside for documentation: no machine has such an address.
    refused = inferspan(
        *("serve", "--data", str(tmp_path / "data"), "--config", str(file)),
        *("--api", "192.0.2.1:0"),
    )
    assert refused.returncode == Exit.USAGE
    assert "192.0.2.1:0" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_an_error_of_ours_is_no_wrong_argument_and_keeps_its_trace(tmp_path: Path) -> None:
    # It starts, and cannot say so: nothing can be written to /dev/full.
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "inferspan_collector.cli"),
                *("serve", "--data", str(tmp_path / "data")),
                *("--otlp-http", FREE, "--otlp-grpc", "off", "--api", FREE),
            ],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" in ended.stderr


def test_arguments_win_over_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "inferspan.yaml"
    file.write_text(f"receivers: {{otlp_http: off}}\nstore: {{data: {tmp_path / 'elsewhere'}}}\n")
    with serving(tmp_path / "data", "--config", str(file)) as served:
        assert served.otlp_http is not None
    assert (tmp_path / "data").exists()
    assert not (tmp_path / "elsewhere").exists()


CLOSES_ITSELF = """
import duckdb
from inferspan_collector.cli import main
from inferspan_collector.store.writer import Writer

def commit(*_, **__):
    raise duckdb.FatalException("database has been invalidated")

Writer.commit = commit
main()
"""


def test_a_store_that_closes_itself_ends_it_with_a_line_and_a_code_of_its_own(
    tmp_path: Path,
) -> None:
    # DuckDB does so when a checkpoint fails, which no test can bring about in time.
    command = (sys.executable, "-c", CLOSES_ITSELF)
    with serving(tmp_path / "data", command=command) as served:
        # It is in the journal, and the store does not take it over.
        send_predictions(served.otlp_http, ["a"])
        assert served.process.wait(DEADLINE_SECONDS) == Exit.STORE_CLOSED
    said = served.log.read_text()
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith(f"inferspan: the store in {tmp_path / 'data'} has closed itself")
    assert "database has been invalidated" in last
    with serving(tmp_path / "data") as served:
        assert counts(served.api) == (1, 0)


def test_logs_can_be_json(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--json") as served:
        pass
    entries = [json.loads(line) for line in served.log.read_text().splitlines()]
    assert any("stopping" in entry["message"] for entry in entries)


def test_help_teaches_by_an_example_and_exit_codes() -> None:
    for command in (("serve",), ("labels", "push"), ("labels", "status"), ("demo",)):
        shown = inferspan(*command, "--help").stdout
        assert f"inferspan {' '.join(command)}" in shown
        assert "Exit codes:" in shown
        assert ("5 the store has closed itself" in shown) == (command == ("serve",))
        assert "--json" in shown


def test_a_free_port_nobody_holds_has_no_holder() -> None:
    with listening.bind(FREE) as listener:
        port = listener.getsockname()[1]
    assert listening.holder(port) is None
    with listening.bind(f"127.0.0.1:{port}") as listener:
        assert listening.address_of(listener) == f"127.0.0.1:{port}"
