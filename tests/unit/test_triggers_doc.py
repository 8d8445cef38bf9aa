"""docs/triggers.md says what the models say, and the example policies are policies."""

from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from keeper.config import read_policy
from keeper.domain import (
    AllOf,
    AnyOf,
    Band,
    Benefit,
    Calendar,
    DriftForecast,
    Ewma,
    Garch,
    Har,
    Memory,
    Policy,
    Risk,
    Score,
    Twap,
    VolatilityBand,
)
from keeper.domain.forecast import FEATURES
from keeper.domain.trigger import Part, Parts, ProbabilityPart, VolatilityPart

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "docs" / "triggers.md").read_text()
MODELS = (
    *(Band, Calendar, VolatilityBand, DriftForecast, Score, AnyOf, AllOf),
    *(Part, VolatilityPart, ProbabilityPart, Parts),
    *(Ewma, Har, Garch, Risk, Benefit, Twap, Memory),
)
OF_THE_POLICY = (
    *("trigger", "tracking_penalty", "horizon_seconds", "extent"),
    *("benefit", "schedule", "covariance", "memory"),
)


def row(name: str, model: type[BaseModel]) -> str:
    field = model.model_fields[name]
    default, meaning = field.default, (field.description or "").replace("|", "\\|")
    if default is PydanticUndefined:
        shown = "must be given"
    elif default is None:
        shown = "absent"
    elif isinstance(default, BaseModel):
        shown = f"`{default.kind}`" if hasattr(default, "kind") else "its defaults"
    else:
        shown = f"`{default}`" if default != {} else "none"
    return f"| `{name}` | {meaning} | {shown} |"


def table(model: type[BaseModel], names: tuple[str, ...] = ()) -> str:
    rows = [row(name, model) for name in names or model.model_fields if name != "kind"]
    return "\n".join(["| parameter | meaning, unit and bounds | default |", "|---|---|---|", *rows])


@pytest.mark.parametrize("model", MODELS)
def test_the_documentation_has_every_parameter_with_its_unit_bounds_and_default(model):
    assert f"\n{table(model)}\n" in DOC


def test_the_documentation_has_what_a_policy_says_of_all_this():
    assert f"\n{table(Policy, OF_THE_POLICY)}\n" in DOC


def test_every_feature_of_a_model_is_explained():
    assert all(f"`{feature}`" in DOC for features in FEATURES.values() for feature in features)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("policy-*.yaml")), ids=lambda path: path.stem)
def test_an_example_is_a_policy(path):
    assert read_policy(path).trigger.kind in ("any", "band", "score")
