"""The report of a backtest: one HTML page that needs nothing else, on any screen, in light and dark."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import yaml
from pydantic import BaseModel

from keeper.backtest.charts import COLOURS, Curve, Mark, bars, curves, layers
from keeper.backtest.metrics import Costs, Metrics, Performance
from keeper.backtest.run import REPORT, Ran, Result, remarks
from keeper.backtest.series import Batch, Line, Run, read_run

MOST = 6
"""Policies that get charts of their own, so that the page stays small; all are in the tables."""
_LISTED = 40
"""Batches in the table of a policy."""

_DASH = "\N{EN DASH}"
_WIDE = 24
"""Letters in a cell from which on it is text, and may take several lines."""
_LONG = ' class="text"'
_PIECES = (("fees", "pool fees"), ("impact", "price impact"), ("off_market", "pools off the market"), ("gas", "gas"))

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--faint:#8b949e;--line:#e4e8ec;--page:#fff;--card:#f6f8fa;
--good:#1a7f37;--bad:#cf222e;--c0:#0969da;--c1:#d4581b;--c2:#1a8a4a;--c3:#8f44c9;--c4:#c8377a;--c5:#0b8a94;--c6:#b58100;
--c7:#6e7781;--c8:#5b5fd6;--c9:#97482c;--c10:#4d8b00;--c11:#b0429e}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9da7b3;--faint:#7d8590;--line:#2a313a;--page:#0d1117;
--card:#161b22;--good:#4ac26b;--bad:#ff7b72;--c0:#58a6ff;--c1:#ff9b5e;--c2:#4ac78a;--c3:#c69bff;--c4:#ff85b6;
--c5:#43d1dc;--c6:#e3b341;--c7:#9da7b3;--c8:#9ea1ff;--c9:#e0936f;--c10:#a2d149;--c11:#f08ce0}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1020px;margin:0 auto;padding:32px 30px 64px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px;letter-spacing:-.015em}
h2{font-size:1.2rem;margin:44px 0 2px;letter-spacing:-.01em}
h3{font-size:1rem;margin:26px 0 0}
p{margin:6px 0;max-width:72ch}.sub{color:var(--soft)}
.note{border-left:3px solid var(--c6);background:var(--card);padding:8px 14px;border-radius:0 6px 6px 0}
figure{margin:10px 0 0}svg{display:block;width:100%;height:auto;overflow:visible}.slim{display:none}
.key{display:flex;flex-wrap:wrap;gap:2px 16px;padding:0;margin:8px 0 6px;list-style:none;font-size:.86rem;
color:var(--soft)}.key li{display:flex;align-items:center;gap:6px}.key svg{width:20px;height:10px;flex:none}
.grid{stroke:var(--line);stroke-width:1;fill:none}.zero{stroke:var(--faint);stroke-width:1;fill:none}
.tick,.number,.name{font:12px system-ui,sans-serif;fill:var(--soft)}.name{font-size:13px;fill:var(--ink)}
.number{fill:var(--ink);font-variant-numeric:tabular-nums}
.end{text-anchor:end}.middle{text-anchor:middle}.begin{text-anchor:start}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}
.ref{stroke:var(--faint)}.dash{stroke-dasharray:6 4}.dots{stroke-dasharray:1.5 4}
.aim{fill:none;stroke:var(--page);stroke-width:1.2;stroke-dasharray:5 4}
.mark{stroke:var(--page);stroke-width:.8}.mark.sold{fill:var(--page);stroke:var(--c);stroke-width:1.6}
.mark.reverted{stroke:var(--bad);stroke-width:1.6;fill:none}
.scroll{overflow-x:auto;margin:10px 0;border:1px solid var(--line);border-radius:8px}
table{border-collapse:separate;border-spacing:0;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:6px 12px;text-align:right;white-space:nowrap;border-top:1px solid var(--line)}
thead th{border-top:0;white-space:normal;min-width:4.6rem;
vertical-align:bottom;background:var(--card);font-weight:600;color:var(--soft)}
th:first-child,td:first-child{text-align:left;white-space:normal}
tbody th{font-weight:400;position:sticky;left:0;background:var(--page)}
thead th:first-child{position:sticky;left:0}
tr.group th{background:var(--card);color:var(--soft);font-weight:600;font-size:.82rem}
tr.total td,tr.total th{font-weight:600}
td.text{text-align:left;white-space:normal;min-width:16ch}
details{margin:12px 0;border:1px solid var(--line);border-radius:8px;padding:0 14px}
summary{cursor:pointer;padding:9px 0;font-weight:600}
details[open]{padding-bottom:12px}
dl{margin:0;font-size:.92rem}dt{font-weight:600;margin-top:8px}dd{margin:0;color:var(--soft)}
pre{overflow-x:auto;background:var(--card);padding:12px;border-radius:6px;font-size:.82rem;line-height:1.45;
margin:8px 0}
.up{color:var(--good)}.down{color:var(--bad)}
@media(max-width:640px){main{padding:20px 16px 48px}h1{font-size:1.45rem}.wide{display:none}.slim{display:block}
th,td{padding:6px 9px}table{font-size:.84rem}
tbody th{min-width:9.5rem}}
@media print{details{break-inside:avoid}}
"""


def _colours() -> str:
    return (
        "".join(f".c{k}{{--c:var(--c{k})}}" for k in range(COLOURS))
        + ".line[class*=' c']{stroke:var(--c)}.area,.bar,.mark,.chip{fill:var(--c)}"
    )


def write_report(folder: Path, result: Result) -> None:
    """Write the report of ``result``, whose Parquet files are in ``folder``, beside them."""
    (folder / REPORT).write_text(render(folder, result), encoding="utf-8")


def render(folder: Path, result: Result) -> str:
    """The page as text."""
    symbols = tuple(result.setup.basket)
    runs = [read_run(folder / ran.steps, symbols) for ran in result.policies[:MOST]]
    body = "".join(
        [
            *_head(result),
            *_together(result, runs),
            _table(result),
            *_sensitivity(result),
            *(part for number, run in enumerate(runs) for part in _policy(result, number, run)),
            *_definitions(),
            *_surroundings(result),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # The page asks nobody for anything, and says so to the browser.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline'\">"
        f"<title>Backtest: {escape(', '.join(ran.name for ran in result.policies))}</title>"
        f"<style>{_STYLE}{_colours()}</style></head><body><main>{body}</main></body></html>\n"
    )


def _head(result: Result) -> Iterable[str]:
    head = result.policies[0].metrics
    span = f"{_day(head.start)} to {_day(head.end)} · {head.years * 365:,.0f} days, {head.steps:,} steps"
    yield "<h1>Backtest</h1>"
    yield _soft(f"{span} · {_dollars(result.setup.capital_usd)} in {', '.join(result.setup.basket)}")
    generated = result.prices.get("generated")
    if generated is not None:
        what = ", ".join(f"{name} {value}" for name, value in generated.items())
        yield f'<p class="note">These prices are generated ({escape(what)}). '
        yield "They show how a policy behaves, not what it would have earned.</p>"
    for ran in result.policies[:MOST]:
        yield f"<p>{_sentence(ran)}</p>"
    for remark in remarks(result):
        yield f'<p class="note">{escape(remark)}</p>'
    if len(result.policies) > MOST:
        yield _soft(f"Only the first {MOST} of {len(result.policies)} policies have charts; all are in the tables.")


def _sentence(ran: Ran) -> str:
    """What a policy came to, in words."""
    m = ran.metrics
    words = f"<strong>{escape(ran.name)}</strong> "
    words += f"{'grew' if m.value.growth >= 0 else 'fell'} by {abs(m.value.growth):.2%}"
    if m.tracking_difference_bp is not None and m.gain_over_hold_bp is not None:
        words += f"; a year, it did {_better(m.tracking_difference_bp)} than the frictionless portfolio and"
        words += f" {_better(m.gain_over_hold_bp)} than holding"
    words += f". {m.trades} batch{'es' * (m.trades != 1)} went through"
    words += f", {m.reverted} reverted" if m.reverted else ""
    if m.cost_bp is not None:
        words += f"; trading cost {m.cost_bp.total:.1f} bp a year"
    if m.tracking_error is not None:
        words += f" at a tracking error of {m.tracking_error:.2%}"
    return words + "."


def _better(bp: float) -> str:
    return f"{abs(bp):.0f} bp {'better' if bp >= 0 else 'worse'}"


def _together(result: Result, runs: Sequence[Run]) -> Iterable[str]:
    """Charts of all policies at once."""
    names = [ran.name for ran in result.policies[: len(runs)]]

    def of_each(read: Callable[[Run], Line]) -> list[Curve]:
        return [Curve(name, f"c{k}", read(run)) for k, (name, run) in enumerate(zip(names, runs, strict=True))]

    time = runs[0].time
    value = [
        Curve("frictionless, rebalanced", "ref dots", runs[0].ideal),
        Curve("buy and hold", "ref dash", runs[0].hold),
        *of_each(lambda run: run.value),
    ]
    yield _title("Value", "At market prices, less all gas.")
    yield _figure(
        value, curves(time, value, _dollars, describe=f"Value over time. At the end: {_ends(value, _dollars)}.")
    )

    lead = [Curve("buy and hold", "ref dash", runs[0].hold_lead), *of_each(lambda run: run.lead)]
    described = f"Lead over the frictionless portfolio. At the end: {_ends(lead, _bp)}."
    yield _title(
        "Ahead of the frictionless portfolio",
        "Value over that of the basket brought back to its targets at every step for nothing, less 1; basis points.",
    )
    yield _figure(lead, curves(time, lead, _bp, zero=True, describe=described))

    drift = of_each(lambda run: run.drift)
    described = "; ".join(
        f"{ran.name}: mean {_share(ran.metrics.mean_drift)}, most {_share(ran.metrics.max_drift)}"
        for ran in result.policies
    )
    yield _title("Drift", "Sum of |weight - target| over all assets.")
    yield _figure(drift, curves(time, drift, _percent, zero=True, describe=f"Drift over time. {described}."))

    costs = [(ran.name, ran.metrics.cost_bp) for ran in result.policies if ran.metrics.cost_bp is not None]
    if costs:
        bar = [(name, [(f"c{k}", getattr(cost, key)) for k, (key, _) in enumerate(_PIECES)]) for name, cost in costs]
        described = "; ".join(
            f"{name}: " + ", ".join(f"{text} {getattr(cost, key):.1f}" for key, text in _PIECES) for name, cost in costs
        )
        drawing = bars(bar, lambda bp: f"{bp:.1f} bp", describe=f"Costs in basis points a year. {described}.")
        yield _title("What trading cost", "Basis points of the basket's value a year.")
        yield f"<figure>{_key((text, f'chip c{k}', True) for k, (_, text) in enumerate(_PIECES))}{drawing}</figure>"


def _policy(result: Result, number: int, run: Run) -> Iterable[str]:
    """Charts and batches of one policy."""
    ran, symbols = result.policies[number], tuple(result.setup.basket)
    count = ran.metrics.trades + ran.metrics.reverted

    def of_each(lines: Sequence[Line]) -> list[Curve]:
        return [Curve(name, f"c{k % COLOURS}", line) for k, (name, line) in enumerate(zip(symbols, lines, strict=True))]

    sub = "Prices, 100 at the start, logarithmic. ▲ bought, ▼ sold, larger for more; ✕ a batch that was reverted"
    sub += f"; the {len(run.batches)} largest batches." if count > len(run.batches) else "."
    index, marks = of_each(run.index), list(_marks(symbols, run.batches))
    described = f"Prices with the trades of {ran.name}: {ran.metrics.trades} executed, {ran.metrics.reverted} reverted."
    described += f" At the end: {_ends(index, _index)}."
    drawing = curves(run.time, index, _index, marks=marks, logarithmic=True, describe=described)
    yield _title(f"{ran.name}: trades on prices", sub)
    yield _figure(index, drawing)

    weights = of_each(run.weights)
    described = f"Weights of {ran.name} over time. At the end: {_ends(weights, _percent)}."
    drawing = layers(run.time, weights, run.targets, describe=described)
    yield _title(f"{ran.name}: weights", "Dashed: where the targets put the edges.")
    yield f"<figure>{_key((curve.name, f'chip {curve.style}', True) for curve in weights)}{drawing}</figure>"
    yield from _batches(ran, run.batches)
    yield _fold("The policy", _text(ran.policy.model_dump_json(exclude_defaults=True)))


def _marks(symbols: Sequence[str], batches: Sequence[Batch]) -> Iterable[Mark]:
    most = max((abs(usd) for batch in batches for usd in batch.bought), default=1.0) or 1.0
    for batch in batches:
        if batch.failed is not None:
            yield Mark(batch.time, 0.0, "reverted", "", 0.0, f"{_moment(batch.time)}: reverted, {batch.failed}")
            continue
        for k, usd in enumerate(batch.bought):
            # What only rounding moved is no trade.
            if abs(usd) > 1e-6 * batch.turnover:
                kind = "bought" if usd > 0 else "sold"
                title = f"{_moment(batch.time)}: {kind} {_dollars(abs(usd))} of {symbols[k]}"
                yield Mark(batch.time, batch.index[k], kind, f"c{k % COLOURS}", (abs(usd) / most) ** 0.5, title)


def _batches(ran: Ran, batches: Sequence[Batch]) -> Iterable[str]:
    if not batches:
        return
    shown, count = batches[-_LISTED:], ran.metrics.trades + ran.metrics.reverted
    rows = [
        (
            _moment(batch.time),
            _dollars(batch.turnover / 2),
            *map(_two, (batch.fees, batch.impact, batch.off_market, batch.gas)),
            "executed" if batch.failed is None else f"reverted: {batch.failed}",
        )
        for batch in shown
    ]
    heads = ("UTC", "traded", "fees $", "impact $", "off market $", "gas $", "outcome")
    title = f"The last {len(shown)} of {count} batches" if len(shown) < count else f"All {count} batches"
    yield _fold(title, _rows(heads, rows))


_Row = tuple[
    str, Callable[[Metrics], float | None] | None, Callable[[Performance], float | None] | None, Callable[[float], str]
]


def _share(value: float) -> str:
    return f"{value:.2%}"


def _percent(value: float) -> str:
    return f"{value * 100:.3g}%"


def _index(value: float) -> str:
    return f"{value:,.4g}"


def _bp(value: float) -> str:
    return f"{value:,.0f} bp" if abs(value) >= 10 or value == 0 else f"{value:.2g} bp"


def _one(value: float) -> str:
    return f"{value:,.1f}"


def _two(value: float) -> str:
    return f"{value:,.2f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _cost(piece: str) -> Callable[[Metrics], float | None]:
    return lambda m: None if m.cost_bp is None else float(getattr(m.cost_bp, piece))


_GROUPS: tuple[tuple[str, tuple[_Row, ...]], ...] = (
    (
        "Value",
        (
            ("growth", None, lambda p: p.growth, _share),
            ("return a year", None, lambda p: p.return_a_year, _share),
            ("volatility", None, lambda p: p.volatility, _share),
            ("Sharpe ratio", None, lambda p: p.sharpe, _two),
            ("Sortino ratio", None, lambda p: p.sortino, _two),
            ("maximum drawdown", None, lambda p: p.max_drawdown, _share),
            ("CVaR, worst 5% of days", None, lambda p: p.cvar, _share),
        ),
    ),
    (
        "Against the frictionless portfolio and holding",
        (
            ("tracking error", lambda m: m.tracking_error, None, _share),
            ("tracking difference, bp a year", lambda m: m.tracking_difference_bp, None, _one),
            ("rebalancing gain over holding, bp a year", lambda m: m.gain_over_hold_bp, None, _one),
            ("mean drift", lambda m: m.mean_drift, None, _share),
            ("time outside the band", lambda m: m.time_outside_band, None, _share),
        ),
    ),
    (
        "Trading",
        (
            ("batches executed", lambda m: m.trades, None, _count),
            ("batches reverted", lambda m: m.reverted, None, _count),
            ("refused by a breaker, steps", lambda m: m.refused, None, _count),
            ("turnover a year, one way", lambda m: m.turnover, None, _two),
        ),
    ),
    ("Cost, bp a year", tuple((text, _cost(piece), None, _one) for piece, text in (*_PIECES, ("total", "total")))),
)


def _table(result: Result) -> str:
    """Every metric of every policy, beside holding and the frictionless portfolio."""
    head = result.policies[0].metrics
    names = [*(ran.name for ran in result.policies), "frictionless", "buy and hold"]
    rows: list[tuple[str, ...]] = []
    for title, group in _GROUPS:
        rows.append((title,))
        for name, of_run, of_value, write in group:
            if of_value is not None:
                found = [of_value(p) for p in (*(ran.metrics.value for ran in result.policies), head.ideal, head.hold)]
            else:
                found = [None if of_run is None else of_run(ran.metrics) for ran in result.policies] + [None, None]
            called = f"{name} of {_percent(head.band)}" if name == "time outside the band" else name
            rows.append((called, *(_DASH if value is None else write(value) for value in found)))
    return _title("All figures", "Definitions are at the end of this page.") + _rows(("", *names), rows)


def _sensitivity(result: Result) -> Iterable[str]:
    if not result.sensitivity:
        return
    frictions = result.setup.frictions
    refill = frictions.refill_half_life_seconds
    flow = f"Noise flow turns over {frictions.noise_volume_per_day:.0%} of a pool a day; a displacement of its price"
    flow += " goes by arbitrage only" if refill is None else f" is halved by other flow in {refill:,.0f} s"
    yield _title(
        "How much hangs on the frictions", f"{flow}. Nobody knows these two well: here is all again with others."
    )
    cases = [("as given", {ran.name: ran.metrics for ran in result.policies})]
    cases += [(varied.variation.name, varied.metrics) for varied in result.sensitivity]
    rows: list[tuple[str, ...]] = []
    for ran in result.policies:
        rows.append((ran.name,))
        for name, metrics in cases:
            m = metrics[ran.name]
            rows.append(
                (
                    name,
                    _DASH if m.cost_bp is None else _one(m.cost_bp.total),
                    _DASH if m.tracking_error is None else _share(m.tracking_error),
                    _DASH if m.tracking_difference_bp is None else _one(m.tracking_difference_bp),
                    _count(m.trades),
                )
            )
    yield _rows(("", "cost, bp a year", "tracking error", "difference, bp a year", "batches"), rows)


def _definitions() -> Iterable[str]:
    said = (
        "V is the basket's value at market prices less all gas spent so far; H that of the first basket, never traded;"
        " I that of the first basket, brought back to its targets at every step for nothing. A return r is of a day, or"
        " of a step where steps are longer. A year has 365 days; no risk-free rate is taken off."
    )
    models: tuple[type[BaseModel], ...] = (Performance, Metrics, Costs)
    entries = "".join(
        f"<dt>{escape(name.removesuffix('_bp').replace('_', ' '))}</dt><dd>{escape(field.description)}</dd>"
        for model in models
        for name, field in model.model_fields.items()
        if field.description and name not in ("value", "hold", "ideal", "start", "end")
    )
    yield "<h2>Definitions</h2>"
    yield _fold("What each figure is", f"<p>{said}</p><dl>{entries}</dl>")


def _surroundings(result: Result) -> Iterable[str]:
    setup = result.setup
    pools = [
        (
            f"{venue.kind.replace('uniswap_', 'Uniswap ').replace('_', ' ')} {'/'.join(venue.tokens)}",
            f"{venue.fee_pips / 1e4:g}%",
            _dollars(venue.usd),
        )
        for venue in setup.venues
    ]
    yield "<h2>Surroundings</h2>"
    yield _fold(f"The {len(pools)} pools", _rows(("pool", "fee", "holds"), pools))
    yield _fold("Everything else of the setup", _text(setup.model_dump_json(exclude={"depth"})))
    yield _fold("Where the prices came from", _text(json.dumps(result.prices)))


def _title(title: str, sub: str) -> str:
    return f"<h2>{escape(title)}</h2>{_soft(sub)}"


def _soft(text: str) -> str:
    return f'<p class="sub">{escape(text)}</p>'


def _fold(title: str, body: str) -> str:
    """What is read only by who wants to."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def _text(found: str) -> str:
    """JSON as people read it."""
    return f"<pre>{escape(yaml.safe_dump(json.loads(found), sort_keys=False, allow_unicode=True))}</pre>"


def _rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a row of one cell heads those after it."""
    body = ""
    for name, *cells in rows:
        if not cells:
            body += f'<tr class="group"><th scope="rowgroup" colspan="{len(heads)}">{escape(name)}</th></tr>'
            continue
        css = ' class="total"' if name == "total" else ""
        body += f'<tr{css}><th scope="row">{escape(name)}</th>'
        body += "".join(f"<td{_LONG if len(cell) > _WIDE else ''}>{escape(cell)}</td>" for cell in cells) + "</tr>"
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    # It may be wider than the screen; whoever has no mouse scrolls it with the keys.
    return f'<div class="scroll" tabindex="0" role="region" aria-label="table">{table}</div>'


def _ends(lines: Sequence[Curve], write: Callable[[float], str]) -> str:
    """Where lines end, in words."""
    return ", ".join(f"{curve.name} {write(float(curve.line.last[-1]))}" for curve in lines)


def _figure(lines: Sequence[Curve], drawing: str) -> str:
    return f"<figure>{_key((curve.name, f'line {curve.style}', False) for curve in lines)}{drawing}</figure>"


def _key(entries: Iterable[tuple[str, str, bool]]) -> str:
    """Names with their colours; a chip for areas, a stroke for lines."""
    items = ""
    for name, css, chip in entries:
        shape = (
            f'<rect class="{css}" width="12" height="10" x="4" rx="2"/>'
            if chip
            else f'<path class="{css}" d="M0 5h20"/>'
        )
        items += f'<li><svg viewBox="0 0 20 10" aria-hidden="true">{shape}</svg>{escape(name)}</li>'
    return f'<ul class="key">{items}</ul>'


def _dollars(value: float) -> str:
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"${value / size:,.4g}{unit}"
    return f"${value:,.2f}"


def _day(seconds: int) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %Y}"


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
