"""What each member adds to the outcome of a film, all members of a film estimated together.

A mean of earlier outcomes credits a supporting actor with the star's films; here a film's surprise
is shared out. The outcome of a film is taken as

    y = level + sum over its members m of x_m theta_m + noise,    noise ~ N(0, 1 / weight)

with theta_m ~ N(0, prior of its kind), which forgets as time passes: towards zero and back to the
prior, by half every half life (an Ornstein-Uhlenbeck process). Effects are followed by a Kalman
filter that keeps of their covariance the diagonal only, as TrueSkill does (Herbrich, Minka and
Graepel 2007; West and Harrison, Bayesian Forecasting and Dynamic Models, 1997, ch. 4): one pass
in the order in which outcomes became known. With v the variances and S = 1 / weight + sum x^2 v,

    theta += x v / S (y - forecast)        v -= (x v)^2 / S

Members are the names of each field, people in any role too, pairs such as a genre in a country, and
the class of the running time; x is 1 over the square root of how many of a kind the film has.

Letters: N films, M members of all films, E events.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np

from mfp import film as films
from mfp.config import HistoryConfig
from mfp.data.ledger import Ledger, member_key
from mfp.data.tabular import fold, vocabulary_name
from mfp.film import Film

EFFECT = np.dtype([("mean", np.float32), ("variance", np.float32)])  # of a member, after a day

# The variance of an effect, by kind of member, in those of the noise (times `joint`): of ratings,
# and of box office, where names say more beside the noise. From one-step errors on bundled films
# up to 2005; four times as much or little changes R2 by 0.005.
_PRIORS = {
    "directors": (0.3, 0.3),
    "writers": (0.25, 1.6),
    "cast": (1.0, 3.2),
    "people": (0.3, 0.3),
    "companies": (0.6, 1.6),
    "genres": (0.15, 0.4),
    "countries": (0.08, 0.1),
    "languages": (0.04, 0.025),
    "certificate": (0.5, 1.6),
    "keywords": (0.12, 0.4),
}
_PAIRS = {
    ("genres", "genres"): (0.05, 0.03),
    ("genres", "countries"): (0.08, 0.5),
    ("genres", "languages"): (0.05, 0.03),
    ("directors", "genres"): (0.12, 0.4),
    ("companies", "genres"): (0.2, 0.8),
}
_MAX_PAIRS = 64  # of a kind and film
_RUNTIME, _LEVEL = "running time", "level"
_KINDS = {
    **_PRIORS,
    **{f"{a} x {b}": priors for (a, b), priors in _PAIRS.items()},
    _RUNTIME: (0.12, 1.6),
    _LEVEL: (4.8, 4.8),
}
_NAMES = list(_KINDS)
_PLACE = {name: place for place, name in enumerate(_NAMES)}
_MEMBER_YEARS, _SLOW_YEARS = 60.0, 480.0  # half lives
_DAYS_A_YEAR = 365.25
_HALF_LIVES = np.array(
    [_SLOW_YEARS if name in (_RUNTIME, _LEVEL) else _MEMBER_YEARS for name in _NAMES]
)
# Not told: the level, which stationary outcomes leave out too, and the running time, which is a
# number of the film's own. Both are estimated so that members are not credited with them.
_COUNTED = np.array([name not in (_RUNTIME, _LEVEL) for name in _NAMES])
_MINUTES = 15.0  # a class of running times
_MOST_CLASSES = 12
_LEVEL_KEY = member_key(_LEVEL, "")


class Terms:
    """The members of films, film after film, in flat arrays."""

    def __init__(self, config: HistoryConfig):
        self._fields = [field for field in config.fields if field in _PRIORS]
        self._pairs = [pair for pair in _PAIRS if set(pair) <= set(self._fields)]
        self._keys, self._factors, self._kinds = array("Q"), array("d"), array("b")
        self._counts = array("q")

    def add(self, film: Film) -> None:
        """Members in the order of their keys, so that sums are the same bits in any order."""
        found: dict[int, tuple[float, int]] = {_LEVEL_KEY: (1.0, _PLACE[_LEVEL])}
        # Folded, so that neither counts nor the order within a pair depend on the case.
        names = {f: list(dict.fromkeys(map(fold, films.names(film, f)))) for f in self._fields}
        for field in self._fields:
            share = len(names[field]) ** -0.5 if names[field] else 0.0
            # A person counts in the role, and for what they do in any.
            for space in dict.fromkeys((field, vocabulary_name(field))):
                for name in names[field]:
                    key = member_key(f"joint {space}", name)
                    before, _ = found.get(key, (0.0, 0))
                    found[key] = (before + share, _PLACE[space])
        for a, b in self._pairs:
            kind = f"{a} x {b}"
            both = [(x, y) for x in names[a] for y in names[b] if a != b or x < y]
            keys = sorted({member_key(kind, f"{x}\0{y}") for x, y in both})[:_MAX_PAIRS]
            found |= {key: (len(keys) ** -0.5, _PLACE[kind]) for key in keys}
        minutes = films.number(film, "runtime_minutes")
        if minutes is not None:
            of_class = int(min(max(minutes // _MINUTES, 2), _MOST_CLASSES))
            found[member_key(_RUNTIME, str(of_class))] = (1.0, _PLACE[_RUNTIME])
        for key in sorted(found):
            factor, kind_at = found[key]
            self._keys.append(key)
            self._factors.append(factor)
            self._kinds.append(kind_at)
        self._counts.append(len(found))

    def arrays(self, outcome: str, strength: float) -> Members:
        """As they add to an outcome, their priors times `strength`."""
        kinds = np.array(self._kinds, np.int64)
        which = 1 if outcome == "revenue" else 0
        priors = np.array(
            [two[which] * (1.0 if n == _LEVEL else strength) for n, two in _KINDS.items()]
        )
        return Members(
            np.array(self._keys, np.uint64),
            np.array(self._factors),
            priors[kinds],
            1 / (_HALF_LIVES[kinds] * _DAYS_A_YEAR),
            _COUNTED[kinds],
            np.array(self._counts, np.int64),
        )


@dataclass(frozen=True, eq=False)
class Members:
    """M members of N films, film after film."""

    keys: np.ndarray  # uint64 [M]
    factors: np.ndarray  # x, [M]
    priors: np.ndarray  # variance, [M]
    rates: np.ndarray  # half lives a day, [M]
    counted: np.ndarray  # bool [M]
    counts: np.ndarray  # int64 [N]

    def expected(
        self, ledger: Ledger, days_N: np.ndarray, heard_N: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the members are expected to add to films of a day each, and its deviation, [N].

        NaN where no outcome of any film was known. The deviation is in those of the noise.

        Args:
          heard_N: the day before which news counts, at most that of the film.
        """
        film = np.repeat(np.arange(len(self.counts)), self.counts)
        state, since = ledger.before(self.keys, heard_N[film])
        known = since > 0
        faded = np.where(known, np.exp2((since - days_N[film]) * self.rates), 0.0)
        mean = state["mean"] * faded
        variance = self.priors + (state["variance"] - self.priors) * faded**2
        counted = self.counted * self.factors
        told = np.bincount(film, known & (self.keys == _LEVEL_KEY), len(days_N)) > 0
        nan = np.where(told, 0.0, np.nan)
        sums = np.bincount(film, counted * mean, len(days_N))
        squares = np.bincount(film, counted * self.factors * variance, len(days_N))
        return sums + nan, np.sqrt(squares) + nan


def follow(
    members: Members, known_N: np.ndarray, values_N: np.ndarray, weights_N: np.ndarray
) -> Ledger:
    """The effects after each day on which outcomes became known, of all members.

    Args:
      known_N: ordinal of the day.
      values_N: outcomes; NaN where there is none.
      weights_N: of outcomes; 0 where they do not count.
    """
    starts = np.concatenate([[0], np.cumsum(members.counts)])
    usable = np.flatnonzero(~np.isnan(values_N) & (weights_N > 0))
    # By content and not by place, so that the order of the films does not matter; within a day as
    # by chance, for in the order of their values the level would run after them.
    digest = np.array([members.keys[starts[i] : starts[i + 1]].sum() for i in usable], np.uint64)
    order = np.lexsort((weights_N[usable], values_N[usable], digest, known_N[usable]))
    events = usable[order]
    keys, place = np.unique(members.keys, return_inverse=True)
    mean, since = np.zeros(len(keys)), np.zeros(len(keys))
    variance = np.zeros(len(keys))
    variance[place] = members.priors
    level = values_N[events[0]] if len(events) else 0.0
    touched, states = [], []
    for i in events:
        span = slice(starts[i], starts[i + 1])
        at, x, prior = place[span], members.factors[span], members.priors[span]
        faded = np.exp2((since[at] - known_N[i]) * members.rates[span])
        m, v = mean[at] * faded, prior + (variance[at] - prior) * faded**2
        xv = x * v
        total = 1 / weights_N[i] + x @ xv
        m += xv * ((values_N[i] - level - x @ m) / total)
        v -= xv**2 / total
        mean[at], variance[at], since[at] = m, v, known_N[i]
        touched.append(at)
        states.append((m, v))
    if not len(events):
        empty = np.zeros(0, np.int64)
        return Ledger(empty.astype(np.uint64), empty, np.zeros(0, EFFECT))
    group = np.concatenate(touched)
    days = np.repeat(known_N[events], [len(at) for at in touched])
    effects = np.zeros(len(group), EFFECT)
    effects["mean"] = np.concatenate([m for m, _ in states])
    effects["variance"] = np.concatenate([v for _, v in states])
    return Ledger.of_states(keys, group, days, effects)
