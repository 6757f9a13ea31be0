"""What the soak measures by: short forms of it, and that it would find a leak."""

from __future__ import annotations

import threading

import pytest
from soak.memory import Held, evaluating, forecasting, is_flat, repeat

FLAT = [Held(500.0, 20, 9)] * 10


@pytest.mark.parametrize(
    ("end", "flat"),
    [
        (Held(500.0, 20, 9), True),
        (Held(520.0, 20, 8), True),
        (Held(530.0, 20, 9), False),
        (Held(500.0, 21, 9), False),
        (Held(500.0, 20, 10), False),
    ],
)
def test_growth_after_half_time_is_found(end, flat):
    assert is_flat([*FLAT[:-1], end]) == flat
    assert is_flat([Held(100.0, 3, 1), *FLAT[1:-1], FLAT[-1]])  # what it takes at first is no leak


def test_a_handle_and_a_thread_that_stay_are_found(tmp_path):
    kept, over = [], threading.Event()

    def leak():
        kept.append((tmp_path / str(len(kept))).open("w"))

    def start():
        threading.Thread(target=over.wait, daemon=True).start()

    assert not repeat(leak, 10, lambda _: None)
    assert not repeat(start, 10, lambda _: None)
    over.set()
    for file in kept:
        file.close()
    assert repeat(lambda: None, 10, lambda _: None)


def test_forecasts_hold_nothing(run):
    films = [film for film, _ in run.films["test"]]
    assert repeat(forecasting(run.bundle, films, 1), 300, lambda _: None)


@pytest.mark.soak
def test_evaluations_hold_nothing(run):
    assert repeat(evaluating(run.path), 10, lambda _: None)
