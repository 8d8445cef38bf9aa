"""A plan as a picture: tokens as nodes, swaps as arrows as wide as they are large."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from keeper.domain import Decision, Snapshot
from keeper.domain.errors import InputError
from keeper.routing import Plan

_SOLD, _BOUGHT, _BETWEEN = "#c2571a", "#1a7f64", "#6b7280"
_INK = "#6e7781"  # readable on white and on black
FORMATS = (".svg", ".png", ".pdf")


def check_format(path: Path) -> None:
    """Raises `InputError` if the file's name does not end in one of `FORMATS`."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{path}: a picture ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")


def draw_plan(facts: Snapshot, decision: Decision, plan: Plan, path: Path) -> None:
    """Draw the flow of ``decision`` into ``path``; sold assets stand left, bought ones right.

    Raises:
        InputError: the file's name does not end in one of `FORMATS`.
    """
    check_format(path)
    import matplotlib as mpl  # noqa: PLC0415 - a second to import, needed only here

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "ballast", "font.family": "sans-serif", "font.size": 10})
    from matplotlib import pyplot as plt  # noqa: PLC0415
    from matplotlib.patches import FancyArrowPatch  # noqa: PLC0415

    usd = dict(zip(plan.problem.market.tokens, map(float, plan.problem.market.scale), strict=True))
    place = _places(decision, usd)
    figure, axes = plt.subplots(figsize=(9, 2 + 1.4 * _tallest(place)))
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.9)
    figure.patch.set_alpha(0)
    axes.axis("off")
    axes.set_xlim(-0.2, 1.2)
    axes.set_ylim(-0.15, 1.15)
    largest = max((swap.amount_in * usd[swap.token_in] for swap in decision.swaps), default=1.0)
    kinds = {pool.name: f"{pool.kind.replace('_', ' ')} {pool.fee_fraction * 100:g}%" for pool in facts.pools}
    parallel: dict[tuple[str, str], int] = defaultdict(int)
    for swap in decision.swaps:
        pair = (swap.token_in, swap.token_out)
        nth, parallel[pair] = parallel[pair], parallel[pair] + 1
        value = swap.amount_in * usd[swap.token_in]
        # Up or down a column, around what stands between.
        least = 0.35 if place[swap.token_in][0] == place[swap.token_out][0] else 0.1
        bend = (least + 0.14 * (nth // 2)) * (1 if nth % 2 == 0 else -1)
        arrow = FancyArrowPatch(
            place[swap.token_in],
            place[swap.token_out],
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>",
            mutation_scale=12,
            linewidth=1 + 9 * value / largest,
            color=_BETWEEN,
            alpha=0.45,
            shrinkA=26,
            shrinkB=26,
        )
        axes.add_patch(arrow)
        # On the page, the middle of the arc is half of its bend away from the middle of the chord.
        start, end = axes.transData.transform([place[swap.token_in], place[swap.token_out]])
        middle = (start + end) / 2 + bend / 2 * (end - start)[::-1] * (1, -1)
        x, y = axes.transData.inverted().transform(middle)
        axes.text(x, y, f"${value:,.0f}\n{kinds[swap.pool]}", ha="center", va="center", fontsize=7.5, color=_INK)
    net = {sell.token: -sell.amount for sell in decision.sells}
    for buy in decision.buys:
        net[buy.token] = net.get(buy.token, 0) + buy.amount
    for token, (x, y) in place.items():
        value = net.get(token, 0) * usd[token]
        colour = _SOLD if value < 0 else _BOUGHT if value > 0 else _BETWEEN
        axes.plot(x, y, "o", markersize=36, color=colour)
        axes.text(x, y, facts.symbol(token)[:8], ha="center", va="center", fontsize=8, color="white")
        if value:
            sign = "-" if value < 0 else "+"
            axes.text(
                x,
                y - 0.42 / (2 + 1.4 * _tallest(place)),
                f"{sign}${abs(value):,.0f}",
                ha="center",
                va="top",
                fontsize=9,
                color=_INK,
            )
    axes.set_title(
        f"drift {decision.estimate.drift_before:.2%} to {decision.estimate.drift_after:.2%},"
        f" cost ${decision.estimate.cost_usd + decision.estimate.gas_usd:,.2f}",
        color=_INK,
        fontsize=10,
    )
    figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
    plt.close(figure)


def _places(decision: Decision, usd: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Where each token stands: by how much more of it is bought than sold, then by the order of appearance."""
    sold: dict[str, float] = defaultdict(float)
    bought: dict[str, float] = defaultdict(float)
    for swap in decision.swaps:
        sold[swap.token_in] += swap.amount_in * usd[swap.token_in]
        bought[swap.token_out] += swap.amount_out * usd[swap.token_out]
    columns: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for token in dict.fromkeys([*sold, *bought]):
        share = bought[token] / (sold[token] + bought[token])
        columns[0 if share < 0.25 else 2 if share > 0.75 else 1].append(token)
    # What stands in the middle stands half a row off, so that no arrow from left to right runs through it.
    return {
        token: (column / 2, 1 - (row + (0.15 if column == 1 else 0.5)) / len(tokens))
        for column, tokens in columns.items()
        for row, token in enumerate(tokens)
    }


def _tallest(place: dict[str, tuple[float, float]]) -> int:
    columns: dict[float, int] = defaultdict(int)
    for x, _ in place.values():
        columns[x] += 1
    return max(columns.values(), default=1)
