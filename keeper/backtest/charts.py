"""Charts as SVG text: drawn once for a wide page and once for a phone, coloured by the page's own variables.

Each shape has a class (``c0`` to ``c11`` a colour, ``dash``, ``dots``), so that light and dark are the page's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from math import ceil, floor, log, log10

import numpy as np
from numpy.typing import NDArray

from keeper.backtest.series import ROOM, Line, ends_of

Floats = NDArray[np.float64]

COLOURS = 12
_LEAST_GAP = 22.0
"""Between two labels of the vertical axis, in units of the drawing."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line with its name and classes, as ``c0 dash``."""

    name: str
    style: str
    line: Line


@dataclass(frozen=True, slots=True)
class Mark:
    """A batch on a chart: bought (triangle up), sold (down) or reverted (a cross on the axis); ``size`` from 0 to 1."""

    time: float
    at: float
    kind: str
    style: str
    size: float
    title: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The room for a drawing."""

    css: str
    width: float
    height: float
    left: float
    ticks: int
    room: int
    """Points across that can be told apart."""
    right: float = 10.0
    top: float = 10.0
    bottom: float = 24.0


FRAMES = (Frame("wide", 960, 320, 62, 9, ROOM), Frame("slim", 370, 250, 52, 5, ROOM // 3))


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, values: Floats) -> Floats:
        low, high = self.low, self.high
        if self.logarithmic:
            values, low, high = np.log(values), log(low), log(high)
        share = (values - low) / ((high - low) or 1.0)
        placed: Floats = self.start + share * (self.end - self.start)
        return placed


def curves(
    time: Floats,
    lines: Sequence[Curve],
    label: Callable[[float], str],
    *,
    marks: Sequence[Mark] = (),
    zero: bool = False,
    logarithmic: bool = False,
    describe: str,
) -> str:
    """Lines over time. ``label`` writes numbers of the vertical axis; ``zero``: the axis begins there, or holds it.

    ``describe`` is the text alternative.
    """
    low = min(float(curve.line.low.min()) for curve in lines)
    high = max(float(curve.line.high.max()) for curve in lines)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if not logarithmic:
        room = (high - low or abs(high) or 1.0) * 0.04
        low, high = (low if zero and low == 0 else low - room), (high if zero and high == 0 else high + room)

    def draw(frame: Frame) -> list[str]:
        across = _Scale(time[0], time[-1], frame.left, frame.width - frame.right)
        up = _Scale(low, high, frame.height - frame.bottom, frame.top, logarithmic)
        out = _grid(frame, across, up, label)
        if low < 0 < high:
            out.append(_rule(frame, float(up(np.array(0.0))), "zero"))
        starts = _starts(len(time), frame)
        x = across(time[ends_of(starts, len(time))])
        for curve in lines:
            out.append(f'<path class="line {curve.style}" d="{_path(x, curve.line.thinned(starts), up)}"/>')
        out += [_mark(frame, mark, across, up) for mark in marks]
        return out

    return _both(draw, describe)


def layers(time: Floats, parts: Sequence[Curve], bounds: Sequence[Line], *, describe: str) -> str:
    """Parts of a whole stacked over time, with the edges that they should have as dashed lines."""
    stacked = np.cumsum([curve.line.last for curve in parts], axis=0)
    aims = np.cumsum([line.last for line in bounds], axis=0)[:-1]

    def draw(frame: Frame) -> list[str]:
        across = _Scale(time[0], time[-1], frame.left, frame.width - frame.right)
        up = _Scale(0, 1, frame.height - frame.bottom, frame.top)
        shown = ends_of(_starts(len(time), frame), len(time))
        x = across(time[shown])
        out, below = _grid(frame, across, up, _percent), np.zeros(len(x))
        for curve, above in zip(parts, stacked[:, shown], strict=True):
            edge = [*zip(x, up(above), strict=True), *zip(x[::-1], up(below)[::-1], strict=True)]
            out.append(f'<path class="area {curve.style}" d="{_points(edge)}Z"/>')
            below = above
        out += [f'<path class="aim" d="{_points(zip(x, up(aim), strict=True))}"/>' for aim in aims[:, shown]]
        return out

    return _both(draw, describe)


def bars(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]], label: Callable[[float], str], *, describe: str
) -> str:
    """A bar for each row, of named pieces side by side; pieces below zero go to the left of it.

    ``rows``: name, and pieces as (classes, length).
    """
    low = min(0.0, *(sum(min(length, 0) for _, length in pieces) for _, pieces in rows))
    high = max(0.0, *(sum(max(length, 0) for _, length in pieces) for _, pieces in rows))

    def draw(frame: Frame) -> list[str]:
        across = _Scale(low, high or 1.0, 4, frame.width - 64)
        out = []
        for number, (name, pieces) in enumerate(rows):
            y, before, after = 46.0 * number, 0.0, 0.0
            out.append(f'<text class="name" x="4" y="{y + 14:g}">{escape(name)}</text>')
            for style, length in pieces:
                begin = before if length < 0 else after
                x0, x1 = sorted(float(across(np.array(value))) for value in (begin, begin + length))
                place = f'x="{x0:.1f}" y="{y + 20:g}" width="{x1 - x0:.1f}"'
                out.append(f'<rect class="bar {style}" {place} height="16" rx="1.5"/>')
                before, after = (begin + length, after) if length < 0 else (before, begin + length)
            end, total = float(across(np.array(after))), sum(length for _, length in pieces)
            out.append(f'<text class="number" x="{end + 6:.1f}" y="{y + 32:g}">{escape(label(total))}</text>')
        return out

    return _both(draw, describe, height=46.0 * len(rows) + 2)


def _both(draw: Callable[[Frame], list[str]], describe: str, height: float | None = None) -> str:
    pictures = []
    for frame in FRAMES:
        tall = frame.height if height is None else height
        body = "".join(draw(frame))
        pictures.append(
            f'<svg class="{frame.css}" viewBox="0 0 {frame.width:g} {tall:g}" role="img"'
            f' aria-label="{escape(describe)}">{body}</svg>'
        )
    return "".join(pictures)


def _starts(count: int, frame: Frame) -> NDArray[np.intp]:
    """Where the parts of ``count`` points begin, so that the frame has room for them."""
    return np.arange(0, count, ceil(count / frame.room))


def _grid(frame: Frame, across: _Scale, up: _Scale, label: Callable[[float], str]) -> list[str]:
    out = []
    for value in ticks(up.low, up.high, 6, logarithmic=up.logarithmic):
        y = float(up(np.array(value)))
        out.append(_rule(frame, y, "grid"))
        out.append(f'<text class="tick end" x="{frame.left - 8:g}" y="{y + 4:.1f}">{escape(label(value))}</text>')
    foot = frame.height - frame.bottom
    for moment, text in times(across.low, across.high, frame.ticks):
        x = float(across(np.array(moment)))
        anchor = "begin" if x < frame.left + 20 else "end" if x > frame.width - 30 else "middle"
        out.append(f'<path class="grid" d="M{x:.1f} {foot:g}v4"/>')
        out.append(f'<text class="tick {anchor}" x="{x:.1f}" y="{foot + 17:g}">{escape(text)}</text>')
    return out


def _rule(frame: Frame, y: float, css: str) -> str:
    return f'<path class="{css}" d="M{frame.left:g} {y:.1f}H{frame.width - frame.right:g}"/>'


def _path(x: Floats, line: Line, up: _Scale) -> str:
    """Through the lowest and the highest of every part, whichever is nearer first."""
    points: list[tuple[float, float]] = []
    for at, low, high in zip(x.tolist(), up(line.low).tolist(), up(line.high).tolist(), strict=True):
        pair = [low] if abs(low - high) < 0.3 else [low, high]
        if len(pair) == 2 and points and abs(points[-1][1] - high) < abs(points[-1][1] - low):
            pair.reverse()
        points += [(at, y) for y in pair]
    return _points(points)


def _points(points: object) -> str:
    """A path through points, in steps of a tenth from each to the next."""
    out: list[str] = []
    x0 = y0 = 0
    for x, y in points:  # type: ignore[attr-defined]  # any iterable of pairs
        now = round(float(x) * 10), round(float(y) * 10)
        if out and now == (x0, y0):
            continue
        dx, dy = now[0] - x0, now[1] - y0
        out.append(f"{'l' if out else 'M'}{dx / 10:g}{' ' if dy >= 0 else ''}{dy / 10:g}")
        x0, y0 = now
    return "".join(out)


def _mark(frame: Frame, mark: Mark, across: _Scale, up: _Scale) -> str:
    x = float(across(np.array(mark.time)))
    if mark.kind == "reverted":
        y = frame.height - frame.bottom - 5
        shape = f"M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6"
    else:
        y, r = float(up(np.array(mark.at))), 2.5 + 3.5 * mark.size
        sign = -1 if mark.kind == "bought" else 1
        y += sign * (r + 2)  # beside the line, not on it
        shape = f"M{x - r:.1f} {y - sign * r:.1f}h{2 * r:.1f}l{-r:.1f} {sign * 2 * r:.1f}z"
    return f'<path class="mark {mark.kind} {mark.style}" d="{shape}"><title>{escape(mark.title)}</title></path>'


def _percent(share: float) -> str:
    return f"{share:.0%}"


def ticks(low: float, high: float, most: int, *, logarithmic: bool = False) -> list[float]:
    """Round numbers from ``low`` to ``high``, ``most`` at most; on a logarithmic axis 1, 2, 5 and their tens."""
    if logarithmic:
        found = [
            digit * 10.0**power
            for power in range(floor(log10(low)), ceil(log10(high)) + 1)
            for digit in (1, 2, 5)
            if low <= digit * 10.0**power <= high
        ]
        if len(found) >= 3:
            while len(found) > most:
                found = found[::2]
            return found
    span = high - low or 1.0
    for step in (
        digit * 10.0**power for power in range(floor(log10(span)) - 2, floor(log10(span)) + 2) for digit in (1, 2, 5)
    ):
        first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [k * step for k in range(first, last + 1)]
    return [low]


def times(start: float, end: float, most: int) -> list[tuple[float, str]]:
    """Round moments from ``start`` to ``end`` (unix seconds), ``most`` at most, and what they are called."""
    for seconds in (60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400):
        if (end - start) / seconds <= most - 1:
            form = "%-d %b" if seconds >= 86_400 else "%-d %b %H:%M" if end - start > 86_400 else "%H:%M"
            found = range(ceil(start / seconds) * seconds, int(end) + 1, seconds)
            return [(float(at), f"{datetime.fromtimestamp(at, UTC):{form}}") for at in found]
    first = datetime.fromtimestamp(start, UTC).year
    for months in (1, 2, 3, 6, 12, 24, 60, 120, 600, 1_200):
        if (end - start) / (months * 30 * 86_400) > most:
            continue
        year = first - first % max(months // 12, 1)
        moments = [
            datetime(year + k // 12, k % 12 + 1, 1, tzinfo=UTC) for k in range(0, (most + 2) * months + 12, months)
        ]
        shown = [moment for moment in moments if start <= moment.timestamp() <= end]
        plain = [f"{m:%Y}" if months >= 12 or m.month == 1 else f"{m:%b}" for m in shown]
        if months < 12 and shown:
            plain[0] = f"{shown[0]:%b %Y}"
        return [(moment.timestamp(), text) for moment, text in zip(shown, plain, strict=True)]
    return []
