"""An ERC-4626 share on the offline mainnet, whose rate grows towards the edge of its corridor."""

import pytest
from eth_utils.address import to_checksum_address

from keeper.chain.bindings import ERC20, constructor_call, explain, interface, view
from keeper.chain.errors import NodeError
from keeper.chain.shares import read_shares
from keeper.devnet import DEV_KEYS, FEEDS, TOKENS, Devnet
from keeper.devnet.world import transact
from keeper.submit.checkpoints import move_due
from keeper.submit.deployer import FeedConfig, ShareConfig
from keeper.units import WAD

DEPOSITOR, STRANGER = DEV_KEYS[0].address, DEV_KEYS[1].address
USDC = TOKENS["USDC"].address
DEPOSIT = 10**12


@pytest.fixture
def share(devnet: Devnet) -> str:
    """A share of USDC that is worth one."""
    created = transact(devnet.endpoint, None, constructor_call("DevShare", USDC, 0))
    address = to_checksum_address(created["contractAddress"])
    devnet.deal(USDC, DEPOSITOR, DEPOSIT)
    transact(devnet.endpoint, USDC, ERC20.encode("approve", address, DEPOSIT), sender=DEPOSITOR)
    deposit = interface("DevShare").encode("deposit", DEPOSIT, DEPOSITOR)
    transact(devnet.endpoint, address, deposit, sender=DEPOSITOR)
    return address


@pytest.fixture
def oracle(devnet: Devnet, share: str) -> str:
    """Believes the share up to 2% from its checkpoint, which it moves by 1% a day, and prices USDC plainly."""
    stable = {"feed": FEEDS["USDC"].address, "heartbeat": 259_200, "min_price": "0.9", "max_price": "1.1"}
    corridor = ShareConfig(max_above="0.02", max_below="0.02", max_drift_per_day="0.01")
    feeds = (FeedConfig(token=share, share=corridor, **stable), FeedConfig(token=USDC, **stable))
    call = constructor_call("PriceOracle", [feed.encoded() for feed in feeds], "0x" + "00" * 20, 0)
    return to_checksum_address(transact(devnet.endpoint, None, call)["contractAddress"])


def grow(devnet: Devnet, share: str, amount: int) -> None:
    devnet.deal(USDC, share, amount)


def price(devnet: Devnet, oracle: str, share: str) -> int:
    return view(devnet.endpoint, "PriceOracle", oracle, "latest", share, block="latest")[0]


def test_only_shares_are_read_and_their_rates_in_wad(devnet, oracle, share):
    (found,) = read_shares(devnet.endpoint, oracle, "latest")
    assert (found.token, found.rate, found.checkpoint) == (share, WAD, WAD)
    assert (found.max_above, found.max_below, found.max_drift_per_day) == (WAD // 50, WAD // 50, WAD // 100)


def test_a_due_checkpoint_is_moved_to_where_it_was_said_to_go(devnet, oracle, share):
    grow(devnet, share, DEPOSIT * 15 // 1000)
    devnet.mine(seconds=86_400)
    timestamp = devnet.endpoint.header().timestamp
    shares = read_shares(devnet.endpoint, oracle, "latest")
    assert shares[0].due(timestamp)

    moved = list(move_due(shares, oracle, timestamp, lambda to, data: transact(devnet.endpoint, to, data)))

    assert moved == [share]
    after = read_shares(devnet.endpoint, oracle, "latest")
    mined = devnet.endpoint.header().timestamp
    assert (after[0].checkpoint, after[0].moved_at) == (shares[0].reached(mined), mined)
    assert not after[0].due(mined)


def test_anyone_brings_a_price_back_that_had_grown_out_of_its_corridor(devnet, oracle, share):
    grow(devnet, share, DEPOSIT * 25 // 1000)
    devnet.mine(seconds=86_400)
    with pytest.raises(NodeError) as refusal:
        price(devnet, oracle, share)
    assert explain(refusal.value.data).startswith("RateOutOfCorridor(")
    timestamp = devnet.endpoint.header().timestamp
    shares = read_shares(devnet.endpoint, oracle, "latest")

    def send(to, data):
        return transact(devnet.endpoint, to, data, sender=STRANGER)

    assert list(move_due(shares, oracle, timestamp, send)) == [share]
    assert price(devnet, oracle, share) == pytest.approx(1.025 * WAD, rel=1e-3)


def test_what_is_not_due_is_left_alone(devnet, oracle, share):
    grow(devnet, share, DEPOSIT * 5 // 1000)
    devnet.mine(seconds=86_400)
    timestamp = devnet.endpoint.header().timestamp
    shares = read_shares(devnet.endpoint, oracle, "latest")

    def send(to, data):
        raise AssertionError((to, data))

    assert list(move_due(shares, oracle, timestamp, send)) == []
