"""Speed by the clock: what a stretch of steps took, without compiling and pauses."""

from __future__ import annotations

import pytest

from mfp.training import flops
from mfp.training.meter import Meter


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Result:
    def __init__(self, ready):
        self.ready = ready

    def is_ready(self):
        return self.ready


@pytest.fixture
def clock():
    return Clock()


def step(meter, clock, *, batch=0.0, running=None, seconds=0.0, compiling=0.0):
    with meter.input(running):
        clock.now += batch
    if compiling:
        with meter.compiling():
            clock.now += compiling
    meter.step(films=64, operations=1e6, devices=4)
    clock.now += seconds


def test_figures(clock):
    meter = Meter(clock)
    clock.now += 100  # before the first step
    step(meter, clock, batch=0.5, seconds=1.5, compiling=30)
    step(meter, clock, batch=0.5, running=Result(False), seconds=0.5)
    step(meter, clock, batch=0.5, running=Result(True), seconds=0.5)
    meter.pause()
    clock.now += 1000  # an evaluation
    step(meter, clock, seconds=4)
    meter.pause()
    meter.pause()
    speed = meter.take()
    assert (speed.steps, speed.films, speed.seconds, speed.compile_seconds) == (4, 256, 8, 30)
    assert speed.input_seconds == 1.0  # not while the device was at work
    assert speed.figures() == {
        "films_per_second": 32.0,
        "step_seconds": 2.0,
        "input_wait_share": 0.125,
        "compile_seconds": 30.0,
        "flops_per_second": 5e5,
    }
    assert "32 films/s, 2,000 ms a step, at most 12% of it waiting for input" in str(speed)


def test_each_take_begins_anew_and_the_total_has_all(clock):
    meter = Meter(clock)
    for seconds in (1, 2, 3):
        step(meter, clock, seconds=seconds)
        meter.pause()
        assert meter.take().seconds == seconds
    assert meter.take().figures() == {}
    assert (meter.total.seconds, meter.total.steps) == (6, 3)


def test_what_belongs_to_no_step_is_left_out(clock):
    meter = Meter(clock)
    step(meter, clock, seconds=1)
    with meter.aside():
        clock.now += 50
    meter.pause()
    assert meter.take().seconds == 1


def test_a_share_of_the_peak_where_it_is_known(clock, monkeypatch):
    monkeypatch.setattr(flops, "PEAK_FLOPS", {"cpu": 1e6})
    meter = Meter(clock)
    step(meter, clock, seconds=1)
    meter.pause()
    figures = meter.take().figures()
    assert figures["peak_share"] == 0.25  # of four devices
    assert "25.0% of the device's bfloat16 peak" in str(meter.total)
