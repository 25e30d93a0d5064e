"""Addresses are taken or refused with what holds them; nothing stays open after a refusal."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys

import pytest

from inferspan_collector import listening
from inferspan_collector.listening import AddressTaken

FREE = "127.0.0.1:0"


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def test_port_0_takes_a_free_one_and_says_which() -> None:
    with listening.bind(FREE) as listener:
        assert listening.address_of(listener) == f"127.0.0.1:{port_of(listener)}"
        assert port_of(listener) > 0
        assert not listener.getblocking()


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6_has_brackets() -> None:
    try:
        listener = listening.bind("[::1]:0")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with listener:
        assert listening.address_of(listener) == f"[::1]:{port_of(listener)}"


def test_no_more_connections_are_taken_than_there_are_files(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Or the store could not open its own."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, files[1]))
    try:
        assert listening.connections_max(20) == 20
        assert not caplog.text
        assert listening.connections_max(1_000) == 100
        assert "ulimit -n" in caplog.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)


def test_a_taken_address_names_who_holds_it() -> None:
    with listening.bind(FREE) as first:
        first.listen()
        address = listening.address_of(first)
        with pytest.raises(AddressTaken, match=f"{address} is taken") as refusal:
            listening.bind(address)
    holder = refusal.value.holder
    assert holder is not None
    assert (refusal.value.address, holder.pid) == (address, os.getpid())
    assert f"process {os.getpid()}" in str(refusal.value)
    listening.bind(address).close()


def test_another_process_is_named_by_its_command_cut_short() -> None:
    program = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", program, "x" * 500),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        holder = listening.holder(int(process.stdout.readline()))
        process.communicate("")
    assert holder is not None
    assert holder.pid == process.pid
    assert holder.command.startswith(sys.executable)
    assert len(holder.command) == listening.COMMAND_LENGTH_MAX + 1
    assert holder.command.endswith("…")


def test_a_port_that_nobody_listens_on_has_no_holder() -> None:
    with listening.bind(FREE) as bound:
        assert listening.holder(port_of(bound)) is None


def test_an_address_of_another_machine_is_named() -> None:
    # 192.0.2.0/24 is set aside for documentation: no machine has such an address.
    with pytest.raises(OSError, match=r"cannot listen on 192\.0\.2\.1:0"):
        listening.bind("192.0.2.1:0")


def test_the_next_free_address_passes_over_taken_and_unwanted_ports() -> None:
    with listening.bind(FREE) as taken:
        taken.listen()
        address = listening.address_of(taken)
        port = port_of(taken)
        host, _, found = listening.free_address(address, avoid={port + 1}).rpartition(":")
    assert host == "127.0.0.1"
    assert int(found) == 0 or int(found) > port + 1


def test_beyond_the_last_port_any_free_one_is_proposed() -> None:
    assert listening.free_address("127.0.0.1:65535") == FREE
    assert listening.free_address("[::1]:65535") == "[::1]:0"
