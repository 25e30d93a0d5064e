"""`inferspan baseline`: what a model was like on a file of labelled predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from inferspan_collector.cli.client import DEFAULT_API, Client, Refused, Unreachable, expect_success
from inferspan_collector.cli.exits import Exit, exit_codes, fail
from inferspan_collector.cli.tokens import TokenFileOption, TokenOption, presented

HELP = """Keep what a model was like on a file of labelled predictions: its baseline.

From then on drift, estimates without labels, and learnt thresholds are measured against it, and its
offline figures stand beside the live ones. The file's rows stay where they are: what is sent are
counts in frozen bins, the calibration that estimates need, and figures. Columns are read by name:
predicted, actual, score, probability.CLASS, feature.NAME (y_pred, y_true and y_pred_proba_CLASS
are known, too); all others are left out.

Example:

  inferspan baseline fraud --version 7 eval.parquet --positive-class fraud

With cross-validation, and what it was made from:

  inferspan baseline fraud --version 7 eval.csv --fold-column fold --parameter depth=6 \\
    --data-version orders-2026-10 --code-version 4f2c1d

Look first, send nothing:

  inferspan baseline fraud --version 7 eval.parquet --dry-run

Those that are kept, and to remove one:

  inferspan baseline fraud --list

  inferspan baseline fraud --remove 3
"""
SECONDS_MAX = 120.0
_CODES = (Exit.OK, Exit.FAILED, Exit.USAGE, Exit.UNREACHABLE)
_SOURCE = "What it is of"
_COLUMNS = "Columns of the file"
_PATH = "/api/v1/baselines"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("baseline", help=HELP, epilog=exit_codes(*_CODES))(baseline)


def _option(metavar: str | None, help: str | None, panel: str, **more: Any) -> Any:
    return typer.Option(metavar=metavar, help=help, rich_help_panel=panel, **more)


_Of = Annotated[str | None, _option("NAME", None, _COLUMNS)]
_Version = Annotated[str | None, _option("NAME", "Of the model; else of any.", _SOURCE)]
_Target = Annotated[str, _option("NAME", "Which truth.", _SOURCE)]
_Data = Annotated[str | None, _option("TEXT", "Of the data set.", _SOURCE)]
_Code = Annotated[str | None, _option("TEXT", "As of git.", _SOURCE)]
_Parameter = Annotated[
    list[str] | None, _option("NAME=VALUE", "Of the training; again for more.", _SOURCE)
]
_Folds = Annotated[
    list[str] | None, _option("FIGURE=A,B,…", "A figure's value in each fold.", _SOURCE)
]
_Score = Annotated[str | None, _option("NAME", "P(positive), or of the class.", _COLUMNS)]
_ByClass = Annotated[list[str] | None, _option("CLASS=NAME", "One for each class.", _COLUMNS)]
_Feature = Annotated[
    list[str] | None, _option("NAME", "One that the model declares; again for more.", _COLUMNS)
]
_Time = Annotated[str | None, _option("NAME", "Rows in its order; else the file's.", _COLUMNS)]
_Fold = Annotated[str | None, _option("NAME", "In which fold a row was held out.", _COLUMNS)]
_Task = Annotated[str | None, _option("KIND", "binary, multiclass or regression.", _COLUMNS)]
_Positive = Annotated[str | None, _option("CLASS", "Whose scores there are.", _COLUMNS)]
_Tolerance = Annotated[
    float | None, _option(None, "Of a regression: an error up to it passes.", _COLUMNS, min=0.0)
]
_WindowRows = Annotated[
    int | None,
    _option(None, "As many as live windows have, if ten fit; else a tenth.", _COLUMNS, min=1),
]
_List = Annotated[bool, typer.Option("--list", help="Those of the model, the newest first.")]
_Remove = Annotated[int | None, typer.Option(metavar="NUMBER", help="Remove this one.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would be; send nothing.")]
_Json = Annotated[bool, typer.Option("--json", help="The answer; of --dry-run the baseline.")]


def baseline(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    file: Annotated[Path | None, typer.Argument(help="Parquet, CSV or Arrow.")] = None,
    version: _Version = None,
    target: _Target = "default",
    data_version: _Data = None,
    code_version: _Code = None,
    parameter: _Parameter = None,
    cross_validation: _Folds = None,
    prediction_column: _Of = None,
    actual_column: _Of = None,
    score_column: _Score = None,
    probability_column: _ByClass = None,
    feature: _Feature = None,
    time_column: _Time = None,
    fold_column: _Fold = None,
    task: _Task = None,
    positive_class: _Positive = None,
    tolerance: _Tolerance = None,
    window_rows: _WindowRows = None,
    show_list: _List = False,
    remove: _Remove = None,
    dry_run: _DryRun = False,
    api: Annotated[str, typer.Option("--api", metavar="URL", envvar="INFERSPAN_API")] = DEFAULT_API,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: _Json = False,
) -> None:
    """Keep, list or remove baselines."""
    if [file is not None, show_list, remove is not None].count(True) != 1:
        fail(Exit.USAGE, "give a FILE, or --list, or --remove NUMBER, one of the three")
    collector = _Collector(api, token, token_file)
    if file is None:
        _show(*(_listed if remove is None else _removed)(collector, model, remove or 0), as_json)
        return
    told = {
        "version": version,
        "target": target,
        "data_version": data_version,
        "code_version": code_version,
        "parameters": _pairs("--parameter", parameter),
        "cross_validation": _folds(cross_validation),
        "window_rows": window_rows,
    }
    columns = {
        "prediction": prediction_column,
        "actual": actual_column,
        "score": score_column,
        "probabilities": _pairs("--probability-column", probability_column),
        "features": tuple(feature or ()),
        "time": time_column,
        "fold": fold_column,
        "task": task,
        "positive": positive_class,
        "tolerance": tolerance,
    }
    # It loads much that other commands do without.
    from inferspan_collector.cli import baseline_file

    content, said = baseline_file.read(model, file, columns, told)
    if dry_run:
        _show(content, said, as_json)
        return
    answer = collector.ask("POST", _PATH, {"model": model, "baseline": content})
    said += [f"kept as baseline {answer['number']}"]
    _show(answer, [*said, *(f"baseline {n} left for it" for n in answer["left"])], as_json)


def _listed(collector: _Collector, model: str, _: int) -> tuple[Any, list[str]]:
    answer = collector.ask("GET", f"/api/v1/models/{quote(model, safe='')}/baselines")
    found = [
        f"{each['number']:>5}  {each['received']}  version {each['version'] or '(any)'}  "
        f"{each['predictions']:,} predictions of {each['source']}"
        for each in answer["baselines"]
    ]
    return answer, found or [f"{model} has no baseline; `inferspan baseline` keeps one"]


def _removed(collector: _Collector, model: str, number: int) -> tuple[Any, list[str]]:
    answer = collector.ask("POST", f"{_PATH}/remove", {"model": model, "number": number})
    if not answer["removed"]:
        fail(Exit.FAILED, f"{model} has no baseline {number}; `--list` names those there are")
    return answer, [f"removed baseline {number} of {model}"]


@dataclass(frozen=True, slots=True)
class _Collector:
    api: str
    token: str | None
    token_file: Path | None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        try:
            with Client(
                self.api, SECONDS_MAX, token=presented(self.token, self.token_file)
            ) as client:
                return json.loads(
                    expect_success(client.request(method, path, content, headers)).body
                )
        except ValueError as error:
            fail(Exit.USAGE, str(error))
        except Unreachable as error:
            fail(Exit.UNREACHABLE, str(error))
        except Refused as error:
            fail(Exit.USAGE if error.status in (400, 401, 403, 413) else Exit.FAILED, str(error))


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name or name in found:
            fail(Exit.USAGE, f"{option} {text}: NAME=VALUE, each name once")
        found[name] = value
    return found


def _folds(given: Sequence[str] | None) -> dict[str, tuple[float, ...]]:
    found: dict[str, tuple[float, ...]] = {}
    for name, text in _pairs("--cross-validation", given).items():
        try:
            found[name] = tuple(float(part) for part in text.split(","))
        except ValueError:
            found[name] = ()
        if len(found[name]) < 2:
            fail(Exit.USAGE, f"--cross-validation {name}={text}: two numbers or more, as 0.91,0.9")
    return found


def _show(answer: Any, lines: Sequence[str], as_json: bool) -> None:
    for line in [json.dumps(answer)] if as_json else lines:
        typer.echo(line)
