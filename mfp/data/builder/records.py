"""Film and Outcome as a TFDS record, and back. A missing value is an empty text or list.

Numbers are stored as text: TFDS serialises floats in 32 bits, which would turn a revenue of
$775,398,007 into $775,398,016 and make training and prediction differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from mfp.data import media
from mfp.dates import PartialDate
from mfp.film import FIELDS, TARGET_FIELDS, Film, Outcome

# Raise it when a record of the same source would come out different: data is prepared anew.
RECORD_VERSION = 2


def features() -> tfds.features.FeaturesDict:
    """The TFDS features of a record: a column per field and target, and media as bytes."""
    kinds = {
        "names": lambda: tfds.features.Sequence(tfds.features.Text()),
        "texts": lambda: tfds.features.Sequence(tfds.features.Text()),
    }
    columns = {
        name: kinds.get(spec.kind, tfds.features.Text)()
        for name, spec in (FIELDS | TARGET_FIELDS).items()
    }
    columns["numbers"] = tfds.features.Text()  # the table's own, as JSON
    # Pixels as bytes: preparing TFDS's own Image and Video features needs TensorFlow.
    columns |= {f"{name}_pixels": tfds.features.Text() for name in media.MEDIA_FIELDS}
    return tfds.features.FeaturesDict(columns)


def encode(film: Film, outcome: Outcome, files: Mapping[str, bytes]) -> dict[str, Any]:
    """A record for TFDS. `files` maps media fields to pixels (`media.prepare`)."""
    record: dict[str, Any] = {}
    for name, spec in (FIELDS | TARGET_FIELDS).items():
        value = getattr(outcome if name in TARGET_FIELDS else film, name)
        if spec.kind == "number":
            record[name] = "" if value is None else repr(float(value))
        elif spec.kind in ("names", "texts"):
            record[name] = list(value)
        else:
            record[name] = "" if value is None else str(value)
    record["numbers"] = json.dumps(film.numbers) if film.numbers else ""
    return record | {f"{name}_pixels": files.get(name, b"") for name in media.MEDIA_FIELDS}


def decode(record: Mapping[str, Any]) -> tuple[Film, Outcome]:
    """The film and outcome of a record that TFDS read back (its texts come as bytes)."""
    values: dict[str, Any] = {}
    for name, spec in (FIELDS | TARGET_FIELDS).items():
        value = record[name]
        if spec.kind == "number":
            values[name] = float(value) if value else None
        elif spec.kind in ("names", "texts"):
            values[name] = tuple(item.decode() for item in value)
        elif spec.kind == "date":
            values[name] = PartialDate.parse(value.decode()) if value else None
        else:
            values[name] = value.decode()
    if record["numbers"]:
        values["numbers"] = tuple((name, value) for name, value in json.loads(record["numbers"]))
    targets = {name: values.pop(name) for name in TARGET_FIELDS}
    targets["verdict"] = targets["verdict"] or None
    return Film(**values), Outcome(**targets)
