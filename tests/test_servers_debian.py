"""Servers from Debian's packages: what is installed is taken, else a package is unpacked once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from servers.build import BuildError
from servers.debian import COMMANDS, Packaged, find
from servers.monitoring import alertmanager, prometheus

TINY = Packaged("tiny", "tiny-package")
SHELL = "/usr/bin:/bin"


def stub(directory: Path, name: str, script: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def environ(tmp_path: Path, path: str = SHELL) -> dict[str, str]:
    return {"PATH": f"{tmp_path / 'bin'}:{path}", "INFERSPAN_CACHE": str(tmp_path / "cache")}


def test_what_is_installed_is_taken(tmp_path: Path) -> None:
    installed = stub(tmp_path / "bin", "tiny", "true")
    assert find(TINY, environ(tmp_path)) == installed


def test_a_machine_without_apt_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"`tiny` was not found, nor `apt-get`.*: install tiny"):
        find(TINY, environ(tmp_path, path=""))


def test_a_package_is_downloaded_once(tmp_path: Path) -> None:
    stub(tmp_path / "bin", "apt-get", f'echo x >> {tmp_path}/asked; touch "$2.deb"')
    stub(tmp_path / "bin", "dpkg-deb", 'mkdir -p "$3/usr/bin"; cp /bin/true "$3/usr/bin/tiny"')
    first = find(TINY, environ(tmp_path))
    assert find(TINY, environ(tmp_path)) == first
    assert subprocess.run([first], check=False).returncode == 0
    assert (tmp_path / "asked").read_text() == "x\n"


def test_old_lists_of_packages_are_renewed(tmp_path: Path) -> None:
    renewed = tmp_path / "renewed"
    stub(
        tmp_path / "bin",
        "apt-get",
        f'if [ "$1" = update ]; then touch {renewed}; exit; fi\n'
        f'if [ ! -e {renewed} ]; then echo "404 Not Found"; exit 100; fi\ntouch "$2.deb"',
    )
    stub(tmp_path / "bin", "dpkg-deb", 'mkdir -p "$3/usr/bin"; cp /bin/true "$3/usr/bin/tiny"')
    assert find(TINY, environ(tmp_path)).exists()


def test_a_download_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    stub(tmp_path / "bin", "apt-get", 'echo "Unable to locate package"; exit 100')
    stub(tmp_path / "bin", "dpkg-deb", "exit 1")
    with pytest.raises(BuildError, match=r"Unable to locate package.*`apt-get update` as root"):
        find(TINY, environ(tmp_path))
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.real
def test_prometheus_and_alertmanager_run(tmp_path: Path) -> None:
    for command in COMMANDS.values():
        assert find(command).exists()
    with (
        alertmanager(
            tmp_path, {"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}
        ) as receiver,
        prometheus(
            tmp_path,
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "alerting": {
                    "alertmanagers": [
                        {"static_configs": [{"targets": [receiver.url.removeprefix("http://")]}]}
                    ]
                },
            },
        ) as started,
    ):
        assert started.query("1 + 1") == [({}, 2.0)]
        assert started.firing() == []
        assert receiver.alerts() == []
