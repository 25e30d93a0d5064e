"""A module is one room, a function one screen."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
DIRECTORIES = ("src", "collector", "tests", "benchmarks", "examples")


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_modules_and_functions_stay_small(directory: str) -> None:
    too_long = []
    for path in sorted((ROOT / directory).rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT)
        if (lines := source.count("\n")) > MODULE_LINES_MAX:
            too_long.append(f"{name}: {lines} lines; is it one room or two?")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    too_long.append(f"{name}:{node.lineno}: {node.name} has {length} lines")
    assert too_long == []


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "common", "core", "base", "manager", "helpers", "misc"}
    found = [
        str(path.relative_to(ROOT))
        for directory in ("src", "collector")
        for path in (ROOT / directory).rglob("*.py")
        if path.stem in drawers
    ]
    assert found == []
