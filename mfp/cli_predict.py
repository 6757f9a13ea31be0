"""The command `mfp-predict`: films in, forecasts out. Click only; imports stay light."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from mfp import __version__, tables
from mfp.cli_common import COMPILED, keep_compiled
from mfp.cli_films import Group, film_options, films_asked_for
from mfp.cli_forecasts import Sink, refuse_overwriting, shape_of, write
from mfp.cli_language import SPEAK, LocalCommand, tell
from mfp.cli_page import at_most_a_page, write_page
from mfp.cli_plan import PlanRequest, serve_plans
from mfp.cli_stream import Journal, Shard, Tally, can_be_resumed, identity, progress
from mfp.film import Film
from mfp.schema import TARGETS


@click.command(
    cls=LocalCommand,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mfp-predict")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "--model",
    "-m",
    required=True,
    envvar="MFP_MODEL",
    show_envvar=True,
    type=click.Path(),
    help="The bundle folder that mfp train or mfp export wrote.",
)
@film_options
@click.option(
    "--review",
    "reviews",
    multiple=True,
    help="A review, repeatable. Without --title, each is forecast by itself.",
)
@click.option(
    "--reviews-file",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="One review a line, each forecast by itself.",
)
@click.option(
    "--media",
    type=click.Path(file_okay=False),
    help="Folder of the posters and trailers that a table names. Default: the table's own.",
)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False), help="Write .csv, .jsonl or .json."
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "jsonl", "csv"]),
    help="Default: a table on a terminal, JSON Lines in a pipe, by its ending in a file.",
)
@click.option("--rejects", type=click.Path(dir_okay=False), help="Write rows that failed (JSONL).")
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Share of films whose outcome lies within the intervals.",
)
@click.option(
    "--vary",
    multiple=True,
    metavar="FIELD=VALUES",
    help="Plan one film: LOW..HIGH/STEP (day, week, month, year, or a number of points), or a "
    "list. Several --vary make their product.",
)
@click.option(
    "--best",
    "goal",
    type=click.Choice(["revenue", "rating", "hit"]),
    help="What the best plan of --vary has most of. Default: the first that the model predicts.",
)
@click.option("--curve", type=click.Path(dir_okay=False), help="Draw the plans of --vary (PNG).")
@click.option("--explain", is_flag=True, help="Say why: what moved each forecast, similar films.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False),
    help="Write a page (HTML) with forecast, reasons, similar films and the plans of --vary.",
)
@click.option(
    "--shard",
    default="1/1",
    metavar="I/N",
    help="Serve only every N-th row, from the I-th: N runs, on one machine or many, serve all.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on where a run of the same command with --output was interrupted.",
)
@SPEAK
@COMPILED
@click.option("--no-verify", is_flag=True, help="Do not compare the bundle with its hashes.")
def main(
    files: tuple[str, ...],
    model: str,
    reviews: tuple[str, ...],
    reviews_file: str | None,
    media: str | None,
    output: str | None,
    shape: str | None,
    rejects: str | None,
    level: float,
    vary: tuple[str, ...],
    goal: str | None,
    curve: str | None,
    explain: bool,
    report: str | None,
    shard: str,
    resume: bool,
    compiled: str | None,
    no_verify: bool,
    **fields: Any,
) -> None:
    """Forecast rating, box office and the chance of a hit of films that have not opened.

    Films come as FILEs (.csv, .jsonl, .json; - is standard input), or one film by options.
    A row that cannot be read is reported with its reason; the others are served.

    \b
    Examples:
      mfp-predict -m runs/base/bundle --title "Heat 2" --director "Michael Mann" --genre Crime
      mfp-predict -m runs/base/bundle upcoming.csv --output forecast.csv
      mfp-predict -m runs/base/bundle --title "Heat 2" --director "Michael Mann" --explain
      mfp-predict -m runs/base/bundle million.csv -o part3.csv --shard 3/8 --resume
      cat films.jsonl | mfp-predict -m runs/base/bundle > forecast.jsonl
      mfp-predict -m runs/reviews/bundle --review "A joy from its first minute to its last."
      mfp-predict -m runs/base/bundle film.json --vary release_date=2014-01..2014-12/month
      mfp-predict -m runs/mine/bundle film.json --vary budget_usd=1e7..1e8/10 --curve plan.png
      mfp-predict -m runs/mine/bundle film.json --vary release_date=2014-01..2014-12/month \\
        --report film.html

    \b
    Exit codes: 0 all films were served; 1 nothing could be done, one line says why; 2 wrong
    usage; 3 served, but some rows were rejected (1 if all were); 130 stopped by Ctrl-C.
    """
    try:
        given = {name: value for name, value in fields.items() if value not in (None, ())}
        tally = Tally(shard=Shard.parse(shard))
        groups = films_asked_for(files, given, reviews, reviews_file, media, tally.wants)
        by_rows = not (given or reviews or reviews_file)
        if not by_rows and (resume or tally.shard.count > 1):
            raise click.UsageError("--shard and --resume: are for files of films")
        refuse_overwriting((output, rejects, curve, report), (*files, reviews_file))
        plan = _plan_request(vary, goal, curve)
        if plan is not None and explain:
            raise click.UsageError("--explain: explains forecasts, not the plans of --vary")
        if report and Path(report).suffix.lower() not in (".html", ".htm"):
            raise click.UsageError(f"--report {report}: end it in .html")
        opening = Opening(model, not no_verify, compiled)
        asked = Asked(
            groups, output, shape, rejects, level, plan, explain, report, tally, resume,
            (files or ("-",)) if by_rows else (), media,
        )  # fmt: skip
        code = _run(asked, opening)
    except BrokenPipeError:
        # Whoever read us has enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        more = "; the same command with --resume goes on" if can_be_resumed(output) else ""
        tell(f"interrupted{more}")
        code = 130
    except tables.TableError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from None
    sys.exit(code)


def _plan_request(vary: tuple[str, ...], goal: str | None, curve: str | None) -> PlanRequest | None:
    """What --vary, --best and --curve ask for; None without --vary."""
    if vary:
        if curve and Path(curve).suffix.lower() != ".png":
            raise click.UsageError(f"--curve {curve}: end it in .png")
        return PlanRequest(vary, goal, curve)
    for option, value in (("--best", goal), ("--curve", curve)):
        if value is not None:
            raise click.UsageError(f"{option}: is for plans; add --vary")
    return None


@dataclass(frozen=True)
class Opening:
    """How the bundle is opened."""

    model: str
    verify: bool
    compiled: str | None  # where compiled programs are kept, see `keep_compiled`

    def forecaster(self, level: float, films: int | None) -> Any:
        """The bundle's Forecaster, whose first batch has so many films, where that is known."""
        # What is imported and opened stays until the end: to look through it for garbage, again
        # and again, takes 40 ms each time.
        gc.disable()
        try:
            from mfp import manifest
            from mfp.forecast import Forecaster
            from mfp.forecast.intervals import check_level

            keep_compiled(self.compiled, tell)
            try:
                found = Forecaster.open(self.model, self.verify, films)
                check_level(level, found.bundle.calibration)
                return found
            except manifest.BundleError as error:
                raise click.ClickException(str(error)) from None
            except ValueError as error:
                raise click.UsageError(f"--{error}") from None
        finally:
            gc.freeze()
            gc.enable()


def _how_many(groups: list[Group]) -> int | None:
    """Of films by options; None of those that files will tell."""
    found = groups[0][0]
    return len(found) if isinstance(found, list) else None


@dataclass(frozen=True)
class Asked:
    """What the options ask for."""

    groups: list[Group]
    output: str | None
    shape: str | None
    rejects: str | None
    level: float
    plan: PlanRequest | None
    explain: bool
    report: str | None
    tally: Tally
    resume: bool
    files: tuple[str, ...]  # of films; none where they are given by options
    media: str | None

    def checked_shape(self) -> str:
        """The format to write. Raises click.UsageError where the options contradict."""
        if self.output is not None and self.shape == "table":
            raise click.UsageError("--format table: is for the terminal; drop --output")
        by_ending = shape_of(self.output)
        if self.output is not None and self.shape not in (None, by_ending):
            raise click.UsageError(
                f"--format {self.shape}: --output {self.output} ends in another format"
            )
        shape = self.shape or by_ending
        if self.explain and shape == "csv":
            raise click.UsageError(
                "--explain: a CSV has no room for reasons; use JSON Lines or a table"
            )
        if self.resume and not self._row_by_row(shape):
            raise click.UsageError("--resume: needs forecasts in --output FILE.csv or FILE.jsonl")
        return shape

    def _row_by_row(self, shape: str) -> bool:
        """Whether rows are written to a file one by one, so that a run can be resumed."""
        forecasts = self.plan is None and self.report is None and bool(self.files)
        return forecasts and self.output is not None and shape in ("csv", "jsonl")

    def journal(self, shape: str, bundle_id: str) -> Journal | None:
        """Of a run that can be resumed; with --resume, from where the last one stopped."""
        if self.output is None or not self._row_by_row(shape):
            return None
        job = {
            "bundle": bundle_id,
            "films": [identity(path) for path in self.files],
            "media": self.media,
            "level": self.level,
            "explain": self.explain,
            "shard": asdict(self.tally.shard),
            "rejects": self.rejects,
        }
        journal = Journal(self.output, job, self.tally, self.rejects)
        if self.resume:
            rows = journal.resume()
            tell(f"{self.output}: goes on after {rows:,} rows")
        return journal

    @property
    def shows_progress(self) -> bool:
        """Whether a bar on the terminal disturbs nothing."""
        elsewhere = self.output is not None or not sys.stdout.isatty()
        return bool(self.files) and elsewhere and sys.stderr.isatty()


def _run(asked: Asked, opening: Opening) -> int:
    shape, tally, explain = asked.checked_shape(), asked.tally, asked.explain
    groups, plan, level = asked.groups, asked.plan, asked.level
    forecaster = opening.forecaster(level, _how_many(groups) if plan is None else None)
    added = tuple(t for t in forecaster.bundle.manifest.targets if t not in TARGETS)
    journal = asked.journal(shape, forecaster.bundle.manifest.id)
    sink = Sink(asked.output)
    with contextlib.ExitStack() as stack:
        reject_file = None
        if journal is not None:
            file, reject_file = stack.enter_context(journal.opened())
            sink = Sink(None, file, not journal.is_resumed, journal.wrote_a_row)
        elif asked.rejects:
            reject_file = stack.enter_context(open(asked.rejects, "w", encoding="utf-8"))
        if asked.shows_progress:
            sink = sink.also(stack.enter_context(progress(asked.files, tally)))

        def served(found: Iterable[tables.Record | tables.Reject]) -> Iterator[Film]:
            for row in found:
                if isinstance(row, tables.Record):
                    tally.accepted += 1
                    yield row.film
                    continue
                tally.rejected += 1
                if reject_file is not None:
                    reject_file.write(json.dumps(row.to_json()) + "\n")
                elif tally.rejected <= 20:
                    tell(f"rejected: {row}")

        if plan is not None:
            films = ((film, media) for found, media in groups for film in served(found))
            planned = serve_plans(forecaster, films, plan, level, shape, asked.output)
            if asked.report and planned:
                told = [(planned.film, planned.media)]
                write_page(asked.report, forecaster, told, level, planned.plans)
        elif asked.report:
            pairs = ((film, media) for found, media in groups for film in served(found))
            told = at_most_a_page(pairs)
            forecasts = write_page(asked.report, forecaster, told, level)
            if not explain:
                forecasts = [replace(forecast, explanation=None) for forecast in forecasts]
            write(iter(forecasts), shape, sink, added)
        else:
            streams = (
                forecaster.stream(served(found), media, level, explain) for found, media in groups
            )
            write(itertools.chain.from_iterable(streams), shape, sink, added)
    _tell(asked, opening, forecaster)
    return 0 if not tally.rejected else 3 if tally.accepted else 1


def _tell(asked: Asked, opening: Opening, forecaster: Any) -> None:
    """What is to be known of the whole run, on standard error."""
    from mfp.forecast.intervals import no_intervals

    if asked.tally.accepted:
        for reason in no_intervals(forecaster.bundle):
            tell(f"{opening.model}: {reason}")
    rejected = asked.tally.rejected
    if rejected:
        where = f"; see {asked.rejects}" if asked.rejects else ""
        rows_were = "1 row was" if rejected == 1 else f"{rejected} rows were"
        tell(f"{rows_were} rejected{where}")
