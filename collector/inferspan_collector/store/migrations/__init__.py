"""The file's format: its version, and the steps from each version to the next.

`schema.sql` beside this package is the newest format; a step `NNNN_what_for.sql` here takes a file
of version NNNN - 1 to NNNN, where need be with a module beside it. To change the format: add the
next step, change `schema.sql` to what it leads to (its version, too), and keep what the schema was,
with rows in it, as `tests/collector/formats/vN.sql`. Tests migrate those files and compare what
they become with what `schema.sql` makes.
"""

from __future__ import annotations

from importlib import import_module, resources
from typing import Final

import duckdb

_PACKAGE: Final = "inferspan_collector.store.migrations"


def _steps() -> dict[int, str]:
    names = sorted(
        file.name for file in resources.files(_PACKAGE).iterdir() if file.name.endswith(".sql")
    )
    steps = {int(name.partition("_")[0]): name for name in names}
    assert list(steps) == list(range(2, len(names) + 2)), "one step per version, none left out"
    return steps


STEPS: Final = _steps()
"""Version → the file of the step that leads to it."""
_REST: Final = {3: "narrow_rows", 7: "feature_rows"}
"""Version → the module with what SQL cannot do of its step."""
FORMAT_VERSION: Final = max(STEPS, default=1)
"""What this collector writes."""


def migrate(connection: duckdb.DuckDBPyConnection, found: int) -> None:
    """Take an open file from version `found` to `FORMAT_VERSION`, all steps in one transaction.

    Raises:
        duckdb.Error: nothing was changed.
    """
    connection.begin()
    try:
        for version in range(found + 1, FORMAT_VERSION + 1):
            connection.execute(resources.files(_PACKAGE).joinpath(STEPS[version]).read_text())
            if version in _REST:
                import_module(f"{_PACKAGE}.{_REST[version]}").fill(connection)
        connection.execute("UPDATE format SET version = ?", [FORMAT_VERSION])
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
