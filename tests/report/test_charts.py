"""Charts: where things are drawn, and that labels stay text."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from mfp.report import charts, plan_charts


def drawn(svg, kind):
    return [e for e in ElementTree.fromstring(str(svg)).iter() if e.get("class") == kind]


def test_an_axis_holds_its_values_and_has_round_ticks():
    found = charts.axis("x", [1.0, math.nan, 9.0])
    assert found.low < 1
    assert found.high > 9
    assert [label for _, label in found.ticks] == ["2", "4", "6", "8"]


@pytest.mark.parametrize("values", [[], [math.nan], [3.0], [3.0, 3.0]])
def test_an_axis_of_one_value_or_none_has_a_width(values):
    assert charts.axis("x", values).low < charts.axis("x", values).high


def test_a_small_difference_does_not_fill_a_chart():
    found = charts.axis("x", [5.0, 5.001], least=1.0)
    assert found.high - found.low >= 1


@pytest.mark.parametrize("powers", [[7.0, 7.001], [6.0, 8.0], [0.0, 12.0]])
def test_dollars_have_ticks_in_dollars(powers):
    ticks = plan_charts.dollar_axis("box office", powers).ticks
    assert ticks
    assert len(ticks) <= 9
    assert all(label.startswith("$") for _, label in ticks)


def test_a_line_goes_through_its_values_and_leaves_out_what_is_not_known():
    scale = charts.Axis("", 0, 1, ())
    line = charts.Series("", [0.0, 0.5, 1.0], [0.0, math.nan, 1.0])
    (found,) = drawn(charts.chart("a title", scale, scale, [line]), "line c0")
    left, right = charts.LEFT, charts.WIDTH - charts.RIGHT
    top, bottom = charts.TOP, charts.HEIGHT - charts.BOTTOM
    assert found.get("points") == f"{left:.1f},{bottom:.1f} {right:.1f},{top:.1f}"


def test_texts_in_a_chart_are_escaped():
    hostile = "</svg><script>alert(1)</script> \"'"
    scale = charts.named_axis(hostile, [hostile])
    series = [charts.Series(hostile, [0.0], [0.0], colour=i) for i in range(2)]
    found = charts.chart(hostile, scale, scale, series)
    assert "<script" not in found
    assert ElementTree.fromstring(str(found)).get("aria-label") == hostile


def test_a_bar_points_to_the_side_of_its_sign():
    (up,), (down,) = (
        drawn(charts.signed_bar("x", value, 2.0), kind) for value, kind in ((1, "up"), (-2, "down"))
    )
    assert (up.get("x"), up.get("width")) == ("40", "19.5")
    assert (down.get("x"), down.get("width")) == ("1.0", "39.0")


def test_a_bar_of_nothing_has_no_length():
    (bar,) = drawn(charts.signed_bar("x", 0.0, 0.0), "up")
    assert bar.get("width") == "0.0"
