"""The two distributions meet on the wire and in `inferspan.semconv`, nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SDK = ROOT / "src/inferspan"
COLLECTOR = ROOT / "collector/inferspan_collector"


def imported(source: str) -> Iterator[str]:
    """Every module a file imports, `from a import b` as `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files_importing(directory: Path, package: str, allowed: str = "") -> list[str]:
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(directory.rglob("*.py"))
        for name in imported(path.read_text(encoding="utf-8"))
        if name.split(".")[0] == package and not (allowed and f"{name}.".startswith(f"{allowed}."))
    ]


def test_the_sdk_never_imports_the_collector() -> None:
    assert files_importing(SDK, "inferspan_collector") == []


def test_the_collector_imports_only_the_vocabulary_from_the_sdk() -> None:
    found = files_importing(COLLECTOR, "inferspan", allowed="inferspan.semconv")
    # cli/demo runs the user's side, in a process of its own.
    assert [line for line in found if "/cli/demo/" not in line] == []


def test_the_vocabulary_needs_only_the_standard_library() -> None:
    import sys

    names = imported((SDK / "semconv.py").read_text(encoding="utf-8"))
    assert [name for name in names if name.split(".")[0] not in sys.stdlib_module_names] == []


def test_both_wrong_arrows_are_found() -> None:
    assert list(imported("import inferspan_collector.store\nfrom inferspan import predict")) == [
        "inferspan_collector.store",
        "inferspan.predict",
    ]


def test_receivers_and_publishers_know_the_pipeline_only_by_what_they_need_of_it() -> None:
    for room in ("receivers", "publish"):
        others = {"receivers", "publish", "pipeline"} - {room}
        found = [
            f"{path.name} imports {name}"
            for path in sorted((COLLECTOR / room).glob("*.py"))
            for name in imported(path.read_text(encoding="utf-8"))
            if set(name.split(".")[1:2]) & others
        ]
        assert found == []
