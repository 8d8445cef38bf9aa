"""Fitted models as a file has them, for a basket of three."""

DAY = 86_400
SYMBOLS = ["USDC", "WETH", "WBTC"]
TRAINED = {"since": "2019-01-01", "until": "2021-01-01", "rows": 731}


def model(kind, rows, **changes):
    features = {"har": ["mean", "last", "week", "month"], "garch": ["omega", "alpha", "beta"]}[kind]
    return {
        "version": 1,
        "kind": kind,
        "interval_seconds": DAY,
        "trained": TRAINED,
        "symbols": SYMBOLS,
        "features": features,
        "validation": {},
        "coefficients": rows,
    } | changes


HAR = model("har", [[0.3, 0.1, 0.2, 0.4]] * 3)
GARCH = model("garch", [[1e-5, 0.1, 0.85]] * 3)
DRIFT = model("har", []) | {
    "kind": "drift",
    "features": ["intercept", "deviation", "distance", "variance_ratio"],
    "coefficients": [-2.0, 3.0, -1.5, 0.1],
    "width": 0.03,
    "variance": HAR,
}
