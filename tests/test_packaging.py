"""What a user installs: two wheels of one version, one package each, and nothing beside."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "tests/requirements"
DISTRIBUTIONS = {"inferspan": ROOT, "inferspan_collector": ROOT / "collector"}
SOURCES = {
    "inferspan": ROOT / "src/inferspan",
    "inferspan_collector": ROOT / "collector/inferspan_collector",
}


def project(directory: Path) -> dict[str, Any]:
    """The `[project]` table of a distribution."""
    table: dict[str, Any] = tomllib.loads((directory / "pyproject.toml").read_text())["project"]
    return table


def run(*command: str | Path, **environment: str) -> str:
    """Run a command and return what it said; its own words are the failure's message."""
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both wheels, built from the working tree without asking an index."""
    directory = tmp_path_factory.mktemp("wheels")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", directory)
    run(*pip, "wheel", *options, ".", "./collector")
    return {path.name.split("-")[0]: path for path in directory.glob("*.whl")}


@pytest.fixture(scope="module")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that both wheels are installed into."""
    directory = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    options = ("--no-deps", "--no-index", "--target", directory)
    run(*pip, "install", *options, *wheels.values())
    return directory


@pytest.mark.parametrize("package", DISTRIBUTIONS)
def test_a_wheel_holds_its_package_whole_and_nothing_else(
    package: str, wheels: dict[str, Path]
) -> None:
    names = zipfile.ZipFile(wheels[package]).namelist()
    roots = {name.split("/")[0] for name in names}
    assert {root for root in roots if not root.endswith(".dist-info")} == {package}
    # Whatever lies beside the code (SQL, py.typed, a page) is needed where it is installed.
    source = SOURCES[package]
    wanted = {
        f"{package}/{path.relative_to(source).as_posix()}"
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith(f"{package}/")} == wanted
    assert f"{package}/py.typed" in names


def test_the_source_distribution_of_the_sdk_leaves_the_collector_out(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        files = [name.split("/", 1)[1] for name in tar.getnames()]
    assert "src/inferspan/semconv.py" in files
    assert [name for name in files if name.startswith("collector")] == []


def test_both_have_one_version_and_ask_for_it() -> None:
    sdk, collector = project(ROOT), project(ROOT / "collector")
    assert sdk["version"] == collector["version"]
    assert f"inferspan=={sdk['version']}" in collector["dependencies"]
    assert sdk["optional-dependencies"]["collector"] == [f"inferspan-collector=={sdk['version']}"]
    assert sdk["requires-python"] == collector["requires-python"] == ">=3.11"


def test_every_dependency_is_pinned_for_the_checks() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert [str(pin) for pin in pins if not str(pin.specifier).startswith("==")] == []
    pinned = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    for directory in DISTRIBUTIONS.values():
        for text in project(directory)["dependencies"]:
            requirement = Requirement(text)
            if (name := canonicalize_name(requirement.name)) != "inferspan":
                assert requirement.specifier.contains(pinned[name]), f"{text}, pinned {name}"


def test_the_installed_command_runs(installed: Path) -> None:
    script = (installed / "bin/inferspan", "--help")
    said = run(sys.executable, *script, PYTHONPATH=str(installed), NO_COLOR="1", COLUMNS="100")
    for command in ("serve", "labels", "demo"):
        assert command in said
    where = "import inferspan, inferspan_collector as c; print(inferspan.__file__, c.__file__)"
    found = run(sys.executable, "-c", where, PYTHONPATH=str(installed)).split()
    assert [Path(file).is_relative_to(installed) for file in found] == [True, True]


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.stem)
def test_environments_of_libraries_are_the_same_tomorrow(path: Path) -> None:
    lines = path.read_text().splitlines()
    loose = [one for one in lines if "==" not in one and not one.startswith(("#", "-e "))]
    assert loose == []
    pins_grpc = any(one.startswith("grpcio==") for one in lines)
    # Each library's own: there is no release of it that the oldest and the latest of all take.
    assert pins_grpc is (path.stem != "tests")
