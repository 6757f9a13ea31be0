"""Forecasts as a command line gives them: a table, JSON Lines, JSON or CSV, to a file or a pipe."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import click

from mfp.cli_language import current


def refuse_overwriting(written: Iterable[str | None], read: Iterable[str | None]) -> None:
    """Files that are read are never written; a folder to write into must be there."""
    for target in written:
        if target is None:
            continue
        parent = os.path.dirname(os.path.abspath(target))
        if not os.path.isdir(parent):
            raise click.ClickException(f"{target}: No such file or folder: {parent}")
        for source in read:
            there = source and os.path.exists(source) and os.path.exists(target)
            if there and os.path.samefile(source or "", target):
                raise click.UsageError(f"{target}: is read and cannot be written over")


def shape_of(output: str | None) -> str:
    if output is None:
        return "table" if sys.stdout.isatty() else "jsonl"
    shapes = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
    suffix = Path(output).suffix.lower()
    if suffix not in shapes:
        raise click.UsageError(f"--output {output}: end it in .csv, .jsonl or .json")
    return shapes[suffix]


_CSV_COLUMNS: tuple[str, ...] = (
    "id",
    "title",
    "release_date",
    "rating",
    "rating_low",
    "rating_high",
    "revenue_usd",
    "revenue_usd_low",
    "revenue_usd_high",
    "revenue_mean_usd",
    "hit_probability",
    "level",
    "verdict",
    "sentiment",
    "flags",
)


@dataclass(frozen=True)
class Sink:
    """Where rows go."""

    output: str | None = None  # a file to write, None: standard output
    file: IO[str] | None = None  # or one that is open already
    begins: bool = True  # else it holds rows already, and what stands before them
    wrote_a_row: Callable[[], None] = lambda: None

    def also(self, then: Callable[[], None]) -> Sink:
        """The same, with something more to be done after each row."""
        first = self.wrote_a_row

        def both() -> None:
            first()
            then()

        return replace(self, wrote_a_row=both)

    @contextlib.contextmanager
    def opened(self) -> Iterator[IO[str]]:
        if self.file is not None:
            yield self.file
        elif self.output is not None:
            with replaced_when_done(self.output) as file:
                yield file
        else:
            yield sys.stdout


def write(forecasts: Iterator[Any], shape: str, sink: Sink, targets: tuple[str, ...] = ()) -> None:
    """Forecasts, one after another where the shape allows it.

    Args:
      targets: that other packages added, each a column of its own in CSV.
    """
    if shape == "table":
        from mfp.report import tables as report_tables

        shown, language = list(forecasts), current()
        report_tables.show(report_tables.forecast_table(shown, language))
        for line in report_tables.flag_lines(shown, language):
            click.echo(line)
        if any(forecast.explanation for forecast in shown):
            from mfp.report import reasons

            reasons.show(shown, language)
        return
    columns = (*_CSV_COLUMNS, *targets)
    _write_rows((forecast.to_json() for forecast in forecasts), columns, shape, sink)


def write_plans(plans: Any, shape: str, output: str | None) -> None:
    """Plans of one film, like forecasts, with the varied values and what is best."""
    if shape == "table":
        from mfp.report import tables as report_tables

        report_tables.show(report_tables.plan_table(plans, current()))
        return
    rows = (plan.to_json() for plan in plans.plans)
    columns = _CSV_COLUMNS
    if shape == "csv":
        varied = tuple(f"plan_{axis.field}" for axis in plans.axes)
        columns = (*varied, *columns, "extrapolates", "best", "as_good_as_the_best")
        rows = (
            plan.to_json() | {f"plan_{field}": value for field, value in plan.values.items()}
            for plan in plans.plans
        )
    _write_rows(rows, columns, shape, Sink(output))


def _write_rows(
    rows: Iterable[dict[str, Any]], columns: tuple[str, ...], shape: str, sink: Sink
) -> None:
    """JSON objects, of which CSV takes the columns."""
    with sink.opened() as file:
        if shape == "csv":
            writer = csv.writer(file)
            if sink.begins:
                writer.writerow(columns)
            for row in rows:
                values = row | row.get("added", {}) | {"flags": "; ".join(row.get("flags", ()))}
                writer.writerow([_inert(values.get(column, "")) for column in columns])
                sink.wrote_a_row()
        elif shape == "json":
            _write_json(rows, file)
        else:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                sink.wrote_a_row()
        file.flush()


def _write_json(rows: Iterable[dict[str, Any]], file: IO[str]) -> None:
    """What json.dump makes of a list with indent=1, a row at a time."""
    before = "["
    for row in rows:
        text = json.dumps(row, ensure_ascii=False, indent=1)
        file.write(f"{before}\n " + text.replace("\n", "\n "))
        before = ","
    file.write("[]\n" if before == "[" else "\n]\n")


@contextlib.contextmanager
def replaced_when_done(path: str) -> Iterator[IO[str]]:
    """A file that takes its name when it is complete: a failed run keeps the earlier one."""
    partial = f"{path}.partial"
    try:
        with open(partial, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise


# The last four are the wide forms, which a Japanese or Chinese spreadsheet reads alike.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _inert(value: Any) -> Any:
    """A spreadsheet would run a text that starts like a formula; an apostrophe stops it."""
    if isinstance(value, str) and value.lstrip(" \n").startswith(_FORMULA):
        return f"'{value}"
    return value
