"""The page of films on the command line: `mfp-predict film.json --report film.html`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfp.cli_forecasts import replaced_when_done
from mfp.cli_language import current, tell
from mfp.film import Film

if TYPE_CHECKING:
    from mfp.forecast.plan import Plans
    from mfp.forecast.predict import Forecast, Forecaster

Located = tuple[Film, Path | None]  # a film and the folder that its media paths are relative to


def at_most_a_page(films: Iterable[Located]) -> list[Located]:
    """All films, which must find room on a page."""
    from mfp.report.film_page import MAX_FILMS

    found = list(islice(films, MAX_FILMS + 1))
    if len(found) > MAX_FILMS:
        raise click.UsageError(
            f"--report: a page holds at most {MAX_FILMS} films; choose some, or drop --report"
        )
    return found


def write_page(
    path: str,
    forecaster: Forecaster,
    films: Sequence[Located],
    level: float,
    plans: Plans | None = None,
) -> list[Forecast]:
    """Forecast and explain films, and write their page; none is written of no film."""
    from mfp.manifest import BundleError
    from mfp.report import film_page, pictures

    reports = []
    try:
        for film, media in films:
            (forecast,) = forecaster.predict([film], media, level, explain=True)
            shown = pictures.of(film, media, _frames(forecaster))
            reports.append(film_page.FilmReport(film, forecast, shown, plans))
    except BundleError as error:
        raise click.ClickException(str(error)) from None
    if reports:
        text = film_page.render(reports, current())
        with replaced_when_done(path) as file:
            file.write(text)
        tell(f"page in {path}")
    return [report.forecast for report in reports]


def _frames(forecaster: Forecaster) -> int:
    spec = forecaster.bundle.spec
    return spec.video_frames if spec.videos else 0
