"""The scanner knows every attribute that the readers of single records look at.

One that it does not know is nothing to it: records that carry it would be taken as ordinary, and
what the readers make of it would be lost.
"""

from __future__ import annotations

import ast
from pathlib import Path

import inferspan_collector
from inferspan import semconv
from inferspan_collector.decode.compiled import names

DECODE = Path(inferspan_collector.__path__[0], "decode")
READERS = ("predictions.py", "outputs.py", "features.py", "label_records.py")
ELSEWHERE = {
    # Of a resource, not of a record.
    semconv.DEPLOYMENT_ENVIRONMENT_NAME,
    semconv.SERVICE_NAME,
    # A prefix, which the scanner knows as one.
    semconv.SLICE_PREFIX,
    # Looks at outputs that only probabilities tell: such spans are left to the readers.
    semconv.OUTPUT_THRESHOLD,
    # Sets and rows of batches: an offset says nothing without the arrays, which have slots.
    semconv.OUTPUT_OFFSETS,
}


def names_read() -> set[str]:
    """The attribute names that the readers mention, but those of slim records."""
    found = set()
    for reader in READERS:
        for node in ast.walk(ast.parse((DECODE / reader).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                value = getattr(semconv, node.attr, None) if node.value.id == "semconv" else None
                if isinstance(value, str) and "." in value and not node.attr.startswith("RECORD_"):
                    found.add(value)
    return found


def test_every_attribute_that_is_read_has_a_slot() -> None:
    read = names_read()
    assert len(read) > 30
    assert {name for name in read if not names.is_known(name)} == ELSEWHERE & read
