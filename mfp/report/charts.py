"""Charts as inline SVG: pure functions from numbers to markup.

Colours are classes of `templates/style.css`, so that a chart follows light and dark. The standard
library's ElementTree writes the elements and escapes every text. Lines also differ in their
dashes: colour alone tells nothing to some readers. Coordinates are SVG units, about a pixel of a
phone's screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree

from markupsafe import Markup

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 10, 10, 50  # margins around the plot
LEGEND_LINE = 16
COLOURS = 6  # classes c0 to c5
_MOST_LABEL = 40  # characters
_CHARACTER = 7.5  # width
_EDGE = 0.03  # of an axis, beyond its values


@dataclass(frozen=True)
class Axis:
    """A scale and its ticks, in the order of the values."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Where a value stands, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Series:
    """Values to draw, NaN where there is none.

    A `line` has a band between low and high, `points` have bars there; `dots` are many and small.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    kind: Literal["line", "points", "dots"] = "line"
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    colour: int = 0


def axis(
    label: str,
    values: Sequence[float],
    show: Callable[[float], str] = "{:g}".format,
    whole: bool = False,
    least: float = 0.0,
) -> Axis:
    """An axis that holds all finite values, with about five round ticks.

    Args:
      least: how much the axis holds at least.
      whole: ticks at whole numbers only, such as years and powers of ten.
    """
    from matplotlib.ticker import MaxNLocator

    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    if low == high or high - low < least:
        middle, half = (low + high) / 2, (least or 1.0) / 2
        low, high = middle - half, middle + half
    edge = _EDGE * (high - low)
    low, high = low - edge, high + edge
    ticks = MaxNLocator(5, steps=[1, 2, 5, 10], integer=whole).tick_values(low, high)
    inside = [float(t) for t in ticks if low - 1e-9 <= t <= high + 1e-9]
    return Axis(label, low, high, tuple((t, show(round(t, 10))) for t in inside))


def named_axis(label: str, names: Sequence[str]) -> Axis:
    """An axis of names at 0, 1, 2, ...; of many, some are written."""
    step = -(-len(names) // 6) or 1
    ticks = tuple((float(i), names[i]) for i in range(0, len(names), step))
    return Axis(label, -0.5, max(len(names), 1) - 0.5, ticks)


def chart(
    title: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    diagonal: bool = False,
    level: float | None = None,
    star: tuple[float, float] | None = None,
) -> Markup:
    """A chart of series over two axes.

    Args:
      title: what is shown, for those who do not see it.
      diagonal: draw the line where y equals x.
      level: draw a horizontal line there.
      star: mark this point.
    """
    named = [s for s in series if s.name]
    height = HEIGHT + LEGEND_LINE * (len(named) if len(named) > 1 else 0)
    svg = _svg(title, WIDTH, height, "chart")
    across = _place(x, LEFT, WIDTH - RIGHT)
    down = _place(y, HEIGHT - BOTTOM, TOP)
    _grid(svg, x, y, across, down)
    if diagonal:
        low, high = max(x.low, y.low), min(x.high, y.high)
        _add(svg, "line", "reference", x1=across(low), y1=down(low), x2=across(high), y2=down(high))
    if level is not None:
        line = {"x1": across(x.low), "x2": across(x.high), "y1": down(level), "y2": down(level)}
        _add(svg, "line", "reference", **line)
    for one in series:
        {"line": _line, "points": _points, "dots": _dots}[one.kind](svg, one, across, down)
    if star is not None:
        mark = _add(svg, "text", "star", x=across(star[0]), y=down(star[1]) + 6)
        mark.text = "★"
    if len(named) > 1:
        for row, one in enumerate(named):
            _legend(svg, one, HEIGHT + LEGEND_LINE * row + 4)
    return _markup(svg)


def interval(
    title: str, x: Axis, value: float, low: float | None = None, high: float | None = None
) -> Markup:
    """A forecast on its scale, and the interval around it."""
    svg = _svg(title, WIDTH, 44, "interval")
    across = _place(x, 16, WIDTH - 16)
    _add(svg, "line", "frame", x1=across(x.low), x2=across(x.high), y1=14, y2=14)
    if low is not None and high is not None:
        left, right = across(low), across(high)
        _add(svg, "rect", "band c0", x=left, y=7, width=max(right - left, 1), height=14, rx=3)
    _add(svg, "circle", "point c0", cx=across(value), cy=14, r=6)
    for at, label in x.ticks:
        _add(svg, "line", "frame", x1=across(at), x2=across(at), y1=21, y2=25)
        _text(svg, label, across(at), 39, "middle")
    return _markup(svg)


def signed_bar(title: str, value: float, scale: float) -> Markup:
    """A bar to the right for what adds and to the left for what takes away."""
    svg = _svg(title, 80, 14, "bar")
    length = 39 * min(abs(value) / scale, 1.0) if scale else 0.0
    kind = "up" if value >= 0 else "down"
    _add(svg, "rect", kind, x=40 if value >= 0 else 40 - length, y=2, width=length, height=10)
    _add(svg, "line", "frame", x1=40, x2=40, y1=0, y2=14)
    return _markup(svg)


def heat_map(
    title: str, picture: str, width: int, height: int, cells: Sequence[Sequence[float]]
) -> Markup:
    """A picture (data URI) under cells coloured by how much each raises or lowers a forecast."""
    svg = _svg(title, width, height, "poster")
    _add(svg, "image", "", href=picture, width=width, height=height, preserveAspectRatio="none")
    most = max((abs(value) for row in cells for value in row), default=0.0)
    for r, row in enumerate(cells):
        for c, value in enumerate(row):
            if most and abs(value) / most > 0.02:
                rect = _add(svg, "rect", "up" if value > 0 else "down")
                for name, share, size in (
                    ("x", c / len(row), width),
                    ("y", r / len(cells), height),
                    ("width", 1 / len(row), width),
                    ("height", 1 / len(cells), height),
                ):
                    rect.set(name, f"{share * size:.2f}")
                rect.set("fill-opacity", f"{0.75 * abs(value) / most:.2f}")
    return _markup(svg)


def _svg(title: str, width: float, height: float, kind: str) -> ElementTree.Element:
    box = f"0 0 {width:g} {height:g}"
    return ElementTree.Element(
        "svg", {"class": kind, "viewBox": box, "role": "img", "aria-label": title}
    )


def _add(
    parent: ElementTree.Element, name: str, kind: str = "", **attributes: Any
) -> ElementTree.Element:
    values = {
        key: f"{value:.1f}" if isinstance(value, float) else str(value)
        for key, value in attributes.items()
    }
    return ElementTree.SubElement(parent, name, ({"class": kind} if kind else {}) | values)


def _text(
    svg: ElementTree.Element, text: str, x: float, y: float, anchor: str, most: int = _MOST_LABEL
) -> None:
    shown = text if len(text) <= most else text[: most - 1] + "…"
    _add(svg, "text", f"label {anchor}", x=float(x), y=float(y)).text = shown


def _place(axis: Axis, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (end - start) * axis.share(value)


Place = Callable[[float], float]


def _grid(svg: ElementTree.Element, x: Axis, y: Axis, across: Place, down: Place) -> None:
    bottom, right = float(HEIGHT - BOTTOM), float(WIDTH - RIGHT)
    for at, label in y.ticks:
        _add(svg, "line", "grid", x1=float(LEFT), x2=right, y1=down(at), y2=down(at))
        _text(svg, label, LEFT - 5, down(at) + 4, "end")
    # Names that would run into each other stand on two lines by turns.
    room = int((right - LEFT) / max(len(x.ticks), 1) / _CHARACTER)
    rows = 2 if any(len(label) > room for _, label in x.ticks) else 1
    room = max(rows * room, 3)
    for i, (at, label) in enumerate(x.ticks):
        row = i % rows
        _add(svg, "line", "grid", x1=across(at), x2=across(at), y1=float(TOP), y2=bottom)
        _text(svg, label, across(at), bottom + 14 + row * 14, "middle", room)
    _text(svg, x.label, (LEFT + right) / 2, HEIGHT - 7, "middle")
    side = _add(
        svg, "text", "label middle", transform=f"translate(12 {(TOP + bottom) / 2:.0f}) rotate(-90)"
    )
    side.text = y.label


def _line(svg: ElementTree.Element, one: Series, across: Place, down: Place) -> None:
    if one.low is not None and one.high is not None:
        bounds = list(zip(one.x, one.low, one.high, strict=True))
        edge = [(x, high) for x, _, high in bounds] + [(x, low) for x, low, _ in reversed(bounds)]
        if all(math.isfinite(value) for point in edge for value in point):
            _add(
                svg, "polygon", f"band c{one.colour % COLOURS}", points=_joined(edge, across, down)
            )
    finite = [p for p in zip(one.x, one.y, strict=True) if all(map(math.isfinite, p))]
    _add(svg, "polyline", f"line c{one.colour % COLOURS}", points=_joined(finite, across, down))


def _joined(points: Sequence[tuple[float, float]], across: Place, down: Place) -> str:
    return " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)


def _points(svg: ElementTree.Element, one: Series, across: Place, down: Place) -> None:
    for i, (x, y) in enumerate(zip(one.x, one.y, strict=True)):
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        if one.low is not None and one.high is not None:
            bar = {
                "x1": across(x),
                "x2": across(x),
                "y1": down(one.low[i]),
                "y2": down(one.high[i]),
            }
            _add(svg, "line", f"error c{one.colour % COLOURS}", **bar)
        _add(svg, "circle", f"point c{one.colour % COLOURS}", cx=across(x), cy=down(y), r=3.5)


def _dots(svg: ElementTree.Element, one: Series, across: Place, down: Place) -> None:
    """One path of strokes without length and with round ends: thousands of dots in few bytes."""
    finite = [p for p in zip(one.x, one.y, strict=True) if all(map(math.isfinite, p))]
    path = "".join(f"M{across(x):.1f} {down(y):.1f}h0" for x, y in finite)
    _add(svg, "path", f"dots c{one.colour % COLOURS}", d=path)


def _legend(svg: ElementTree.Element, one: Series, y: float) -> None:
    colour = f"c{one.colour % COLOURS}"
    if one.kind == "line":
        _add(svg, "line", f"line {colour}", x1=float(LEFT), x2=LEFT + 22.0, y1=y, y2=y)
    else:
        _add(svg, "circle", f"point {colour}", cx=LEFT + 11.0, cy=y, r=3.5)
    _text(svg, one.name, LEFT + 28, y + 4, "start")


def _markup(svg: ElementTree.Element) -> Markup:
    return Markup(ElementTree.tostring(svg, encoding="unicode"))
