"""The stack of `examples/existing-stack`, and the changes that the how-to makes to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
STOCK = ROOT / "examples/existing-stack"
PAGE = ROOT / "docs/join-an-existing-stack.md"


def blocks(language: str) -> list[str]:
    """The code blocks of the how-to in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def copied(directory: Path) -> Path:
    """A copy of the files as they were."""
    shutil.copytree(STOCK, directory)
    return directory


def change(directory: Path, *, back: bool = False) -> None:
    """Make the changes of the how-to to a copy of the files, or take them back.

    Whatever does not fit exactly fails: what a reader would be told to change is not there.
    """
    for patch in blocks("diff"):
        subprocess.run(
            ["git", "apply", *(["--reverse"] if back else [])],
            cwd=directory,
            input=patch,
            text=True,
            check=True,
            # The copy may lie within a repository, whose files are not meant.
            env=os.environ | {"GIT_CEILING_DIRECTORIES": str(directory.parent)},
        )


def texts(directory: Path) -> dict[str, str]:
    """Name → content."""
    return {file.name: file.read_text() for file in sorted(directory.iterdir())}
