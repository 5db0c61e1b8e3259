"""Panels of a Grafana dashboard as one SVG: lines over time, from what Prometheus answered. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, GAP, COLUMNS = 400, 210, 14, 3
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 34, 40
COLOURS = ("#1a73e8", "#e8710a", "#188038", "#a142f4", "#d93025", "#12a4af", "#80868b")

Points = Sequence[tuple[float, float]]
"""Seconds since the beginning, and the value then."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel with its series by their legends."""

    title: str
    unit: str
    series: Mapping[str, Points]


def draw(panels: Sequence[Panel], *, seconds: float, marks: Mapping[str, tuple[float, float]]) -> str:
    """The panels in rows of three. `marks`: what was done to the system, from when to when; shaded in each panel."""
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + GAP, 30 + rows * (HEIGHT + GAP) + GAP
    told = " · ".join(f"{name} {_clock(begin)}–{_clock(end)}" for name, (begin, end) in marks.items())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#202124">',
        f'<rect width="{width}" height="{height}" fill="#f1f3f4"/>',
        f'<text x="{GAP}" y="24" font-size="13">Shaded: {escape(told)}</text>',
    ]
    for place, panel in enumerate(panels):
        x = GAP + place % COLUMNS * (WIDTH + GAP)
        y = 30 + GAP + place // COLUMNS * (HEIGHT + GAP)
        lines += [f'<g transform="translate({x} {y})">', *_panel(panel, seconds, list(marks.values())), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


MANY = 5
"""Of more series than that those are left out that are 0 all the time."""


def _panel(panel: Panel, seconds: float, spans: Sequence[tuple[float, float]]) -> list[str]:
    shown = {
        name: points
        for name, points in panel.series.items()
        if len(panel.series) <= MANY or any(value for _, value in points)
    }
    most = _ceiling(max((value for points in shown.values() for _, value in points), default=0.0))

    def at(second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * second / seconds

    def up(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most)

    lines = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#fff"/>',
        f'<text x="12" y="20" font-size="13" font-weight="600">{escape(panel.title)}</text>',
    ]
    lines += [
        f'<rect x="{at(begin):.1f}" y="{TOP}" width="{at(end) - at(begin):.1f}" height="{HEIGHT - TOP - BOTTOM}" '
        'fill="#fde293" opacity="0.35"/>'
        for begin, end in spans
    ]
    for share in (0.0, 0.5, 1.0):
        y, label = up(most * share), _worded(most * share, panel.unit)
        lines += [
            f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e8eaed"/>',
            f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end" fill="#5f6368">{label}</text>',
        ]
    lines += [
        f'<text x="{at(minute * 60):.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle" fill="#5f6368">'
        f"{minute} min</text>"
        for minute in range(0, math.ceil(seconds / 60), 2)
    ]
    x = 12.0
    for number, (name, points) in enumerate(shown.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{at(second):.1f},{up(value):.1f}" for second, value in points)
        lines += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>',
            f'<rect x="{x:.0f}" y="{HEIGHT - 16}" width="8" height="8" fill="{colour}"/>',
            f'<text x="{x + 11:.0f}" y="{HEIGHT - 8}" font-size="10">{escape(name)}</text>',
        ]
        x += 22 + 5.2 * len(name)
    return lines


def _ceiling(most: float) -> float:
    """A round number at or above it."""
    if most <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(most))
    return next(step * size for step in (1, 2, 5, 10) if step * size >= most)


def _worded(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:g} ms" if 0 < value < 1 else f"{value:g} s"
    return f"{value:g}"


def _clock(second: float) -> str:
    return f"{int(second // 60)}:{int(second % 60):02}"
