"""The real servers: what a machine lacks is said in one line, and a build is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from servers.build import ROOT, SERVERS, BuildError, Server, binary, build, find_go

SCRIPT = ROOT / "tests/servers/build.py"


def stub(directory: Path, name: str, script: str) -> None:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def module(tmp_path: Path) -> Server:
    directory = tmp_path / "module"
    directory.mkdir()
    (directory / "go.mod").write_text("module tiny\n")
    return Server("tiny", directory, ".", minutes=1)


def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "INFERSPAN_CACHE": str(tmp_path / "cache")}


def test_a_machine_without_go_is_told_in_one_line(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "jaeger"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path), "INFERSPAN_CACHE": str(tmp_path / "cache")},
    )
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert "`go` was not found" in line
    assert "install Go 1.25 or newer" in line


@pytest.mark.parametrize("version", ["go1.24.4", "go1.9", "devel"])
def test_a_go_that_is_too_old_is_told_with_its_version(tmp_path: Path, version: str) -> None:
    stub(tmp_path / "bin", "go", f"echo {version}")
    with pytest.raises(BuildError, match=version):
        find_go(environ(tmp_path))


def test_a_binary_is_built_once_and_again_when_its_module_changes(
    tmp_path: Path, module: Server
) -> None:
    stub(
        tmp_path / "bin",
        "go",
        f'if [ "$1" = env ]; then echo go1.25.0; exit; fi\necho x >> {tmp_path}/builds\n'
        'while [ "$1" != -o ]; do shift; done\ncp /bin/true "$2"',
    )
    where = environ(tmp_path)

    first = build(module, where)
    assert build(module, where) == first == binary(module, where)
    assert subprocess.run([first], check=False).returncode == 0
    (module.module / "go.sum").write_text("other\n")
    second = build(module, where)

    assert second != first
    assert (tmp_path / "builds").read_text().count("x") == 2
    assert [path.name for path in first.parent.iterdir()] == ["tiny"]


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path: Path, module: Server) -> None:
    stub(
        tmp_path / "bin",
        "go",
        'if [ "$1" = env ]; then echo go1.26; exit; fi\necho "missing go.sum entry"; exit 1',
    )
    with pytest.raises(BuildError, match=r"building tiny failed: missing go\.sum entry"):
        build(module, environ(tmp_path))
    assert not binary(module, environ(tmp_path)).exists()


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_every_module_is_verified_by_a_committed_go_sum(name: str) -> None:
    module = SERVERS[name].module
    assert (module / "go.sum").stat().st_size > 10_000
    # What git ignores would be missing on a fresh machine.
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, module.iterdir())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""


def test_the_collectors_parts_are_those_of_its_manifest() -> None:
    manifest = (ROOT / "collector/otelcol/builder-config.yaml").read_text()
    required = (SERVERS["otelcol"].module / "go.mod").read_text()
    parts = [line.split("gomod: ")[1] for line in manifest.splitlines() if "gomod: " in line]
    assert parts
    assert [part for part in parts if f"\t{part}\n" not in required] == []
