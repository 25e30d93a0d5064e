"""What a predict function returned → class, score, value: pure, by the declared task.

A wrong guess is worse than none: what does not fit the declaration is not recorded; the reason
goes on the span (`inferspan.capture.dropped`) and, once, into the log.
"""

from __future__ import annotations

from typing import Self

from numpy import ndarray

from inferspan import semconv
from inferspan.attributes import Attributes, names_text
from inferspan.output_columns import ROWS_MAX, Columns, Misfit, OutputRule
from inferspan.output_forms import read_columns
from inferspan.output_usual import USUAL, Found


class Output:
    """What was recognised: the answer of a single prediction, or columns; nothing where dropped."""

    # Not a dataclass: most answers set one or two of these, and the others cost nothing here.
    label: str | None = None
    """The class of a single prediction."""
    score: float | None = None
    """The score of a single prediction."""
    value: float | None = None
    """The number of a single prediction."""
    classes: list[str | None] | None = None
    """Of a batch: a class per row, None = none; with `offsets`, entries of sets or rankings."""
    scores: list[float] | None = None
    """Of a batch: one per row (NaN = none); with `offsets`, one per entry of `classes`."""
    values: list[float] | None = None
    """Of a batch: one per row, NaN = none."""
    offsets: list[int] | None = None
    """Where each row's set begins in `classes`, and one more for the end; also of a single set."""
    probabilities: list[float] | None = None
    """Row-major; class and score that follow from them stand above."""
    names: tuple[str, ...] = ()
    """The classes that the columns of `probabilities` stand for."""
    columnar = False
    """Whether any of the columns above is there."""
    rows: int | None = None
    """Rows of a batch; None = one prediction."""
    dropped: str | None = None
    """Why it was not recognised, with the remedy."""

    @classmethod
    def usual(cls, found: Found, names: tuple[str, ...]) -> Self:
        """What a usual answer holds.

        Args:
            found: class, score, value, probabilities.
            names: the classes that probabilities stand for.
        """
        output = cls()
        output.label, output.score, output.value, row = found
        if row is not None:
            output.probabilities, output.names, output.columnar = row, names, True
        return output

    @property
    def recognised(self) -> bool:
        """Whether there is anything to record."""
        found = (self.label, self.score, self.value, self.classes, self.scores, self.values)
        return found != (None,) * 6

    def write_to(self, attributes: Attributes) -> None:
        """Add what was recognised to a span's attributes."""
        if self.label is not None:
            attributes[semconv.OUTPUT_CLASS] = self.label
        if self.score is not None:
            attributes[semconv.OUTPUT_SCORE] = self.score
        if self.value is not None:
            attributes[semconv.OUTPUT_VALUE] = self.value
        if self.columnar:
            self._write_columns(attributes)

    def _write_columns(self, attributes: Attributes) -> None:
        if self.classes is not None:
            attributes[semconv.OUTPUT_CLASSES_PREDICTED] = self.classes
        if self.scores is not None:
            attributes[semconv.OUTPUT_SCORES] = self.scores
        if self.values is not None:
            attributes[semconv.OUTPUT_VALUES] = self.values
        if self.offsets is not None:
            attributes[semconv.OUTPUT_OFFSETS] = self.offsets
        if self.probabilities is not None:
            attributes[semconv.OUTPUT_CLASSES] = names_text(self.names)
            attributes[semconv.OUTPUT_PROBABILITIES] = self.probabilities


def read_output(returned: object, rule: OutputRule, input_rows: int | None = None) -> Output:
    """Recognise class, score and value in what a function returned.

    Args:
        returned: str, bool, number, numpy scalar, tensor without dimensions; `(label, score)`; what
            has `label`, `score`, `value`, `probabilities` as keys, fields or columns; a batch as
            1-D array, series, tensor, Arrow array or list; a matrix or table of probabilities
            where the classes are known.
        rule: what the model declares.
        input_rows: rows of the input, where evident; a batch must have as many.

    Returns:
        What was recognised, or why nothing was. Never raises on input of the types above; what a
        foreign object's own attributes raise passes through.
    """
    kind = type(returned)
    # A vector has as many answers as the input has rows.
    reader = None if kind is ndarray and input_rows not in (None, 1) else USUAL.get(kind)
    if reader is not None and (found := reader(returned, rule)) is not None:
        return Output.usual(found, rule.classes)
    output = Output()
    if rule.form == "untyped":
        return output
    try:
        columns = read_columns(returned, rule, input_rows)
        rows = columns.rows
        if not columns.single and input_rows is not None and rows != input_rows:
            raise Misfit(f"{rows} outputs for {input_rows} input rows; return one per row")
        if rows > ROWS_MAX:
            raise Misfit(f"{rows} rows, at most {ROWS_MAX} are recorded; call in smaller batches")
        if not rows:
            output.rows = 0
        elif (columns.single or rows == 1) and columns.offsets is None:
            _fill_single(output, columns)
        else:
            _fill_columns(output, columns)
    except Misfit as misfit:
        output = Output()
        output.dropped = str(misfit)
    return output


def _fill_single(output: Output, columns: Columns) -> None:
    output.label = columns.classes[0] if columns.classes else None
    output.score = columns.scores[0] if columns.scores else None
    output.value = columns.values[0] if columns.values else None
    if output.value != output.value or output.score != output.score:
        raise Misfit("NaN and infinities are no outputs; return a finite number")
    output.probabilities, output.names = columns.probabilities, columns.names
    output.columnar = columns.probabilities is not None


def _fill_columns(output: Output, columns: Columns) -> None:
    output.classes, output.scores, output.values = columns.classes, columns.scores, columns.values
    output.offsets = columns.offsets
    output.columnar = True
    output.probabilities, output.names = columns.probabilities, columns.names
    output.rows = None if columns.single or columns.rows == 1 else columns.rows
