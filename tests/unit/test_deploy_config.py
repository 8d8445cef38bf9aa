"""The deployment file: what it may say, and what becomes of it in the oracle's constructor."""

from typing import Any

import pytest
import yaml

from keeper.chain.artifacts import ROOT
from keeper.domain import InputError
from keeper.submit.deployer import DeployConfig

ZERO = "0x" + "00" * 20
FEED = "0x5f4eC3Df9cbd43714FE2740f5E3616155c5b8419"
POOL = "0x88e6A0c2dDD26FEEb64F039a2c41296FcB3f5640"
QUOTE = {"feed": FEED, "heartbeat": 4500, "min_price": 100, "max_price": 100000}
SHARE = {"max_above": 0.01, "max_below": 0.005, "max_drift_per_day": 0.001}
ANCHOR = {"pool": POOL, "window": 1800, "max_deviation": 0.05}
EXAMPLE = yaml.safe_load((ROOT / "examples" / "deploy.yaml").read_text())


@pytest.fixture
def load(tmp_path):
    """Loads the example, with additions to its first asset and to the file itself."""

    def load(asset: dict[str, Any] | None = None, **changes: Any) -> DeployConfig:
        first, *others = EXAMPLE["assets"]
        path = tmp_path / "deploy.yaml"
        path.write_text(yaml.safe_dump(EXAMPLE | {"assets": [first | (asset or {}), *others]} | changes))
        return DeployConfig.load(path)

    return load


def refusal(load, **additions: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(**additions)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plain_feed_has_no_quote_no_share_and_no_anchor(load):
    feeds, *_ = load().oracle
    weth = EXAMPLE["assets"][0]["token"]
    assert feeds[0] == (weth, FEED, 4500, 10**20, 10**23, (ZERO, 0, 0, 0), (0, 0, 0), (ZERO, 0, 0))


def test_a_quote_is_encoded_in_wad(load):
    feeds, *_ = load({"quote": QUOTE}).oracle
    assert feeds[0][5] == (FEED, 4500, 10**20, 10**23)


def test_a_share_is_encoded_in_wad(load):
    feeds, *_ = load({"share": SHARE}).oracle
    assert feeds[0][6] == (10**16, 5 * 10**15, 10**15)


def test_an_anchor_is_encoded_in_seconds_and_wad(load):
    feeds, *_ = load({"anchor": ANCHOR}).oracle
    assert feeds[0][7] == (POOL, 1800, 5 * 10**16)


def test_without_a_sequencer_there_is_no_grace(load):
    assert load().oracle[1:] == (ZERO, 0)


def test_a_sequencer_is_handed_to_the_oracle(load):
    assert load(sequencer={"feed": FEED, "grace": 3600}).oracle[1:] == (FEED, 3600)


def test_every_source_of_a_price_is_known(load):
    config = load({"quote": QUOTE | {"feed": POOL}, "anchor": ANCHOR})
    assert config.priced[0].sources == (FEED, POOL, POOL)
    assert config.priced[1].sources == (config.priced[1].feed,)


@pytest.mark.parametrize(
    ("asset", "place"),
    [
        ({"heartbeat": 0}, "heartbeat"),
        ({"heartbeat": 259_201}, "heartbeat"),
        ({"quote": QUOTE | {"heartbeat": 259_201}}, "quote.heartbeat"),
        ({"quote": {"feed": FEED}}, "quote.heartbeat"),
        ({"share": SHARE | {"max_above": 0}}, "share.max_above"),
        ({"share": SHARE | {"max_below": 1.1}}, "share.max_below"),
        ({"share": SHARE | {"max_drift_per_day": -1}}, "share.max_drift_per_day"),
        ({"anchor": ANCHOR | {"max_deviation": 0}}, "anchor.max_deviation"),
        ({"anchor": ANCHOR | {"window": 0}}, "anchor.window"),
    ],
)
def test_what_no_oracle_would_take_is_refused_with_its_place(load, asset, place):
    assert f"assets.0.{place}: " in refusal(load, asset=asset)


def test_an_unknown_key_of_an_anchor_names_those_there_are(load):
    message = refusal(load, asset={"anchor": ANCHOR | {"twap": 1800}})
    assert "assets.0.anchor: unknown key 'twap'; allowed: max_deviation, pool, window" in message
