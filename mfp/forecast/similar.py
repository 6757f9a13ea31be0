"""The most similar past films: nearest in the fused embedding, and strictly earlier."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from mfp.data.reference import PastFilm, Reference
from mfp.dates import PartialDate


@dataclass(frozen=True, slots=True)
class SimilarFilm:
    """A past film with its real outcomes."""

    film: PastFilm
    # Of the embeddings, in units of the root mean square distance of two past films: 0 where the
    # network sees no difference, about 1 between any two films.
    distance: float


def most_similar(
    reference: Reference, embedding: np.ndarray, before: PartialDate, count: int = 5
) -> tuple[SimilarFilm, ...]:
    """The past films nearest to an embedding [D], nearest first.

    A film counts as past where its last possible day of release is before the first possible day
    of `before`: of two films known only to be of 1999 neither is earlier.

    Euclidean distance: of five nearest films of the bundled ones (validation against training)
    the mean rating has R2 0.275 and the mean log10 box office 0.418; by the cosine 0.270 and
    0.404, with standardised coordinates 0.273 and 0.379.
    """
    earlier = bisect_left(
        reference.films, before.first_day(), key=lambda f: f.release_date.last_day()
    )
    if not earlier:
        return ()
    vectors = reference.vectors.astype(np.float32)
    distance = np.linalg.norm(vectors[:earlier] - embedding.astype(np.float32), axis=1)
    typical = float(np.sqrt(2 * vectors.var(axis=0).sum())) or 1.0
    nearest = np.argsort(distance, kind="stable")[:count]
    return tuple(SimilarFilm(reference.films[i], float(distance[i]) / typical) for i in nearest)
