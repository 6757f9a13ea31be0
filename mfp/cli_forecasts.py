"""Forecasts as a command line gives them: a table, JSON Lines, JSON or CSV, to a file or a pipe."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import click


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


def write(forecasts: Iterator[Any], shape: str, output: str | None) -> None:
    if shape == "table":
        from mfp.report import tables as report_tables

        rows = list(forecasts)
        report_tables.show(report_tables.forecast_table(rows))
        if any(forecast.explanation for forecast in rows):
            from mfp.report import reasons

            reasons.show(rows)
        return
    with contextlib.ExitStack() as stack:
        file: IO[str] = sys.stdout
        if output is not None:
            file = stack.enter_context(_replaced_when_done(output))
        if shape == "csv":
            _write_csv(forecasts, file)
        elif shape == "json":
            json.dump([f.to_json() for f in forecasts], file, ensure_ascii=False, indent=1)
            file.write("\n")
        else:
            for forecast in forecasts:
                file.write(json.dumps(forecast.to_json(), ensure_ascii=False) + "\n")
        file.flush()


@contextlib.contextmanager
def _replaced_when_done(path: str) -> Iterator[IO[str]]:
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


def _write_csv(forecasts: Iterator[Any], file: IO[str]) -> None:
    columns = (
        "id",
        "title",
        "release_date",
        "rating",
        "revenue_usd",
        "hit_probability",
        "verdict",
        "sentiment",
        "warnings",
    )
    writer = csv.writer(file)
    writer.writerow(columns)
    for forecast in forecasts:
        values = forecast.to_json()
        values["warnings"] = "; ".join(forecast.warnings)
        writer.writerow([_inert(values.get(column, "")) for column in columns])


def _inert(value: Any) -> Any:
    """A spreadsheet would run a text that starts like a formula; an apostrophe stops it."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
