"""Forecasts of more films than one machine serves: a transform for Apache Beam.

    import json
    import apache_beam as beam
    from mfp.forecast.beam import Predict

    with beam.Pipeline(runner="DataflowRunner", options=options) as pipeline:
        found = pipeline | beam.io.ReadFromText("films-*.jsonl") | Predict("/shared/bundle")
        _ = found.forecasts | beam.Map(json.dumps) | beam.io.WriteToText("forecasts")
        _ = found.rejects | "as JSON" >> beam.Map(json.dumps) | beam.io.WriteToText("rejects")

Workers need this version of mfp, and see the bundle and the media under the same paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mfp import rows
from mfp.film import Film
from mfp.forecast.predict import BATCH_SIZES, Forecaster

try:
    import apache_beam as beam
    from apache_beam.utils.shared import Shared
except ImportError:
    raise ImportError("Apache Beam is not installed; run: pip install 'mfp[beam]'") from None


class Predicted(NamedTuple):
    """What became of films: PCollections of JSON values."""

    forecasts: Any  # `Forecast.to_json` of each film that could be read, in no order
    rejects: Any  # {"row": what was given, "field": ..., "reason": ...} of each other one


class Predict(beam.PTransform):
    """A PCollection of films to their forecasts, each exactly once.

    An element is a Film, or a raw row as tables of `mfp-predict` have: a mapping of column names
    to texts or JSON values, or a line of JSON. A bundle is opened once in each worker process.

    Args:
      bundle: the folder that `mfp export` wrote.
      media: the folder that poster and trailer paths are relative to; without it, films are
        forecast as if they had neither.
      verify: compare the bundle's files with their SHA-256 first.
    """

    def __init__(self, bundle: str | Path, media: str | Path | None = None, verify: bool = True):
        super().__init__()
        self._serve = _Serve(str(bundle), None if media is None else str(media), verify)

    def expand(self, films: Any) -> Predicted:
        read = films | "Read" >> beam.ParDo(_Read()).with_outputs("rejects", main="films")
        size = BATCH_SIZES[-1]  # what is left over is padded to one of the few other sizes
        batches = read.films | "Batch" >> beam.BatchElements(size, size)
        return Predicted(batches | "Serve" >> beam.ParDo(self._serve), read.rejects)


class _Read(beam.DoFn):
    """A film as it is, a raw row as a film or, where it cannot be read, to `rejects`."""

    def process(self, element: Film | Mapping[str, Any] | str) -> Iterator[Any]:
        if isinstance(element, Film):
            yield element
            return
        try:
            yield _film(element)
        except rows.FieldError as error:
            reject = {"row": element, "field": error.name, "reason": error.reason}
            yield beam.pvalue.TaggedOutput("rejects", reject)


def _film(row: Mapping[str, Any] | str) -> Film:
    try:
        values = json.loads(row) if isinstance(row, str) else row
    except ValueError as error:
        raise rows.FieldError("", f"is not JSON: {error}") from None
    if not isinstance(values, Mapping):
        raise rows.FieldError("", "is not a row: a mapping of column names to values")
    film, _ = rows.parse({str(name): value for name, value in values.items()})
    return film


class _Serve(beam.DoFn):
    """A batch of films to their forecasts, by a bundle that the threads of a worker share."""

    def __init__(self, bundle: str, media: str | None, verify: bool):
        self._bundle, self._media, self._verify = bundle, media, verify
        self._shared = Shared()

    def setup(self) -> None:
        self._forecaster = self._shared.acquire(lambda: Forecaster.open(self._bundle, self._verify))

    def process(self, films: list[Film]) -> Iterator[dict[str, Any]]:
        for forecast in self._forecaster.predict(films, self._media):
            yield forecast.to_json()
