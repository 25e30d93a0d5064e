"""Names that cross the wire are spelled once, and do not collide."""

from __future__ import annotations

import ast
from pathlib import Path

from inferspan import semconv

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "src/inferspan", ROOT / "collector/inferspan_collector")

NOT_ATTRIBUTES = ("SCOPE_", "EVENT_", "SCHEMA_URL", "TENSOR_", "MIME_", "SLICE_PREFIX")
"""Constants that are no attribute names by themselves."""
TENSOR_OWNERS = ("inferspan.input", "inferspan.output", "inferspan.state")

SPELLED_OUT: dict[tuple[str, str], str] = {}
"""(file, literal) → why it may stand there by hand."""


def constants() -> dict[str, str]:
    return {
        name: value
        for name, value in vars(semconv).items()
        if name.isupper() and isinstance(value, str)
    }


def attribute_names() -> set[str]:
    names = {
        value
        for name, value in constants().items()
        if "." in value and not name.startswith(NOT_ATTRIBUTES)
    }
    tensors = [value for name, value in constants().items() if name.startswith("TENSOR_")]
    return names | {f"{owner}.{suffix}" for owner in TENSOR_OWNERS for suffix in tensors}


def prefixes(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def test_no_attribute_is_also_the_prefix_of_another() -> None:
    names = attribute_names()
    # A backend that stores attributes as nested objects cannot hold both.
    assert {name for name in names if any(name in prefixes(other) for other in names)} == set()


def test_slices_cannot_hide_an_attribute() -> None:
    prefix = semconv.SLICE_PREFIX
    assert prefix.endswith(".")
    assert [name for name in attribute_names() if f"{name}.".startswith(prefix)] == []


def test_every_constant_is_spelled_once() -> None:
    values = list(constants().values())
    assert [value for value in set(values) if values.count(value) > 1 and "." in value] == []


def test_no_name_of_the_vocabulary_is_spelled_by_hand() -> None:
    names = {value for value in constants().values() if "." in value}
    by_hand = []
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            file = str(path.relative_to(ROOT))
            if path.name == "semconv.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                    continue
                spelled = node.value in names or node.value.startswith(semconv.SLICE_PREFIX)
                if spelled and (file, node.value) not in SPELLED_OUT:
                    by_hand.append(f"{file}:{node.lineno}: {node.value!r}")
    assert by_hand == []


def test_every_name_is_explained() -> None:
    page = (ROOT / "docs/vocabulary.md").read_text(encoding="utf-8")
    missing = [value for value in constants().values() if f"`{value}`" not in page]
    assert missing == []


def test_every_vocabulary_is_written_out() -> None:
    page = (ROOT / "docs/vocabulary.md").read_text(encoding="utf-8")
    values = {
        text
        for name, choices in vars(semconv).items()
        if name.isupper() and isinstance(choices, tuple)
        for text in choices
    }
    assert [text for text in sorted(values) if f"`{text}`" not in page] == []
