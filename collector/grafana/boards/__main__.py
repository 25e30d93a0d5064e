"""Write the dashboards: `python collector/grafana/boards` from the root of a clone."""

from __future__ import annotations

import json
from pathlib import Path

import data_science
import on_call
import product

DASHBOARDS = Path(__file__).resolve().parents[1] / "dashboards"


def texts() -> dict[str, str]:
    """File name → content of every dashboard."""
    boards = {"on-call": on_call, "data-science": data_science, "product": product}
    return {
        f"{name}.json": json.dumps(module.make(), indent=1, ensure_ascii=False) + "\n"
        for name, module in boards.items()
    }


def main() -> None:
    """Write them."""
    DASHBOARDS.mkdir(exist_ok=True)
    for name, text in texts().items():
        (DASHBOARDS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
