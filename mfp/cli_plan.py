"""The release planner on the command line: `mfp-predict film.json --vary FIELD=VALUES`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfp.cli_films import common_folder
from mfp.cli_forecasts import write_plans
from mfp.cli_language import current, tell
from mfp.film import Film

if TYPE_CHECKING:
    from mfp.forecast.axes import Axis
    from mfp.forecast.plan import Plans
    from mfp.forecast.predict import Forecaster

_MEDIA = ("poster", "trailer")


@dataclass(frozen=True)
class PlanRequest:
    """The options of a plan."""

    vary: tuple[str, ...]
    goal: Any  # rating, revenue, hit or None
    curve: str | None  # a PNG file to draw


@dataclass(frozen=True)
class PlannedFilm:
    """A film that was planned, its media folder, and the plans."""

    film: Film
    media: Path | None
    plans: Plans


def serve_plans(
    forecaster: Forecaster,
    films: Iterable[tuple[Film, Path | None]],
    request: PlanRequest,
    level: float,
    shape: str,
    output: str | None,
) -> PlannedFilm | None:
    """Plan the one film asked for; write its plans, and draw them where a plot is asked for.

    None: its row was rejected, which has been told.
    """
    from mfp.forecast import axes as grids
    from mfp.forecast import plan

    found = list(films)
    if not found:
        return None
    if len(found) > 1:
        raise click.UsageError(f"--vary: plans one film, {len(found):,} are given")
    film, media = found[0]
    try:
        axes = [grids.parse(text) for text in request.vary]
        film, axes, media = _with_files(film, axes, media)
        plans = plan.make(forecaster, film, axes, media, level, request.goal)
    except grids.PlanError as error:
        raise click.UsageError(str(error)) from None
    write_plans(plans, shape, output)
    for warning in plans.warnings:
        said = current().sentence(warning)
        click.echo(current()("{title}: {said}", title=film.title, said=said), err=True)
    if request.curve:
        from mfp.report import plots

        plots.plans(plans, Path(request.curve))
        tell(f"drawn in {request.curve}")
    return PlannedFilm(film, media, plans)


def _with_files(
    film: Film, axes: Sequence[Axis], media: Path | None
) -> tuple[Film, list[Axis], Path | None]:
    """Varied pictures are files named on the command line; the film's own lie in its media folder.

    One folder that holds all of them becomes the media folder.
    """
    varied = [axis for axis in axes if axis.field in _MEDIA]
    files = {path: os.path.abspath(path) for axis in varied for path in axis.values if path}
    if not files:
        return film, list(axes), media
    for path in files:
        if not os.path.exists(path):
            raise click.UsageError(f"--vary: {path}: no such file")
    own = {
        name: os.path.abspath(os.path.join(media or ".", getattr(film, name)))
        for name in _MEDIA
        if getattr(film, name)
    }
    folder = common_folder([*files.values(), *own.values()])

    def moved(axis: Axis) -> Axis:
        if axis not in varied:
            return axis
        values = tuple(path and os.path.relpath(files[path], folder) for path in axis.values)
        return dataclasses.replace(axis, values=values)

    relative: dict[str, Any] = {name: os.path.relpath(path, folder) for name, path in own.items()}
    return dataclasses.replace(film, **relative), [moved(axis) for axis in axes], folder
