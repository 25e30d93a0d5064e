"""A runtime context of the user's, chosen by OTEL_PYTHON_CONTEXT, is used as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BROUGHT = """
from contextvars import ContextVar
from opentelemetry.context.context import Context, _RuntimeContext

class Counting(_RuntimeContext):
    def __init__(self):
        self.attached = 0
        self.variable = ContextVar("mine")  # without a default

    def attach(self, context):
        self.attached += 1
        return self.variable.set(context)

    def get_current(self):
        return self.variable.get(Context())

    def detach(self, token):
        self.variable.reset(token)
"""
PROGRAM = """
import threading
import inferspan
from inferspan.testing import capture_spans
from opentelemetry import context

score = inferspan.predict(model="m")(lambda x: x)
kept = context._RUNTIME_CONTEXT
before = kept.attached
with capture_spans() as spans:
    thread = threading.Thread(target=score, args=(1,))
    thread.start()
    thread.join()
print(type(kept).__name__, kept.attached > before, len(spans))
"""


def test_a_context_built_on_a_context_variable_is_asked_in_every_thread(tmp_path: Path) -> None:
    (tmp_path / "brought.py").write_text(BROUGHT)
    info = tmp_path / "brought-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[opentelemetry_context]\nmine = brought:Counting\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "OTEL_PYTHON_CONTEXT": "mine", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["Counting", "True", "1"], done.stderr[-2000:]
