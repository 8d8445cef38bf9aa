"""Several vaults read as one group: the same facts as each has alone, in fewer requests."""

from dataclasses import replace

import pytest
from town import Town

from keeper.chain.lens import Group, Reading
from keeper.chain.rpc import Endpoint
from keeper.devnet import TOKENS, Devnet
from keeper.devnet.faults import Drop, FaultProxy
from keeper.domain import InputError

NOWHERE = "0x" + "ab" * 20


class Counting(Endpoint):
    """Counts what goes over the wire."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: list[list[str]] = []

    def batch(self, requests):
        self.sent.append([method for method, _ in requests])
        return super().batch(requests)

    def request(self, method, *params):
        self.sent.append([method])
        return super().request(method, *params)


@pytest.fixture
def town(devnet: Devnet, tmp_path, monkeypatch) -> Town:
    """Three vaults, the second one of fewer assets."""
    town = Town(devnet, tmp_path, keepers=(1, 2, 3), small=(1,))
    for name, value in town.environment.items():
        monkeypatch.setenv(name, value)
    return town


@pytest.fixture
def lenses(town):
    return [town.keeper(index).lens for index in range(3)]


def plain(reading: Reading) -> Reading:
    """Where a pool stands among the others depends on who else is read."""
    return replace(reading, pools=tuple(sorted(reading.pools, key=lambda pool: pool.name)))


def test_a_vault_reads_the_same_in_a_group_as_alone(town, lenses):
    header = town.endpoint.header()
    together = Group(lenses).read_at(town.endpoint, header)
    assert [plain(reading) for reading in together] == [plain(lens.read_at(town.endpoint, header)) for lens in lenses]


def test_a_vault_in_a_group_is_not_shown_pools_of_tokens_it_does_not_know(town, lenses):
    large, small, _ = Group(lenses).read_at(town.endpoint, town.endpoint.header())
    assert len(small.tokens) == 3
    assert 0 < len(small.pools) < len(large.pools)


def test_from_the_second_block_on_one_batch_reads_everything(town, lenses, devnet):
    endpoint, group = Counting(devnet.url), Group(lenses)
    group.read_at(endpoint, town.endpoint.header())
    devnet.mine()
    endpoint.sent.clear()
    group.read_at(endpoint, town.endpoint.header())
    assert endpoint.sent == [["eth_maxPriorityFeePerGas", "eth_call", "eth_call"]]


def test_vaults_are_read_some_at_a_time(town, lenses, devnet, monkeypatch):
    monkeypatch.setattr("keeper.chain.lens._VAULTS_AT_ONCE", 2)
    endpoint, group = Counting(devnet.url), Group(lenses)
    header = town.endpoint.header()
    together = group.read_at(endpoint, header)
    assert endpoint.sent[0] == ["eth_maxPriorityFeePerGas", "eth_call", "eth_call"]
    assert [reading.vault.address for reading in together] == [lens.vault for lens in lenses]
    assert group.read_at(endpoint, header) == together


def test_a_basket_that_has_grown_is_noticed_in_the_same_block(town, lenses):
    group, header = Group(lenses), town.endpoint.header()
    expected = group.read_at(town.endpoint, header)
    group._baskets -= {TOKENS["LINK"].address}  # as it was before LINK was added
    assert group.read_at(town.endpoint, header) == expected


def test_a_vault_that_is_not_there_harms_no_other(town, lenses):
    group = Group([lenses[0], replace(lenses[1], vault=NOWHERE), lenses[2]])
    header = town.endpoint.header()
    first, broken, last = group.read_at(town.endpoint, header)
    assert isinstance(broken, InputError)
    assert f"cannot read the vault {NOWHERE}" in str(broken)
    assert plain(first) == plain(lenses[0].read_at(town.endpoint, header))
    assert plain(last) == plain(lenses[2].read_at(town.endpoint, header))


def test_a_venue_that_is_not_what_it_says_is_bad_input(town, lenses):
    venue = lenses[0].venues[0].model_copy(update={"factory": NOWHERE})
    group = Group([replace(lens, venues=(venue,)) for lens in lenses])
    with pytest.raises(InputError, match="cannot read the pools"):
        group.read_at(town.endpoint, town.endpoint.header())


def test_vaults_with_other_venues_are_no_group(lenses):
    with pytest.raises(ValueError, match="the same venues"):
        Group([lenses[0], replace(lenses[1], tick_words=1)])


def test_what_one_endpoint_does_not_read_another_one_does(town, lenses, devnet):
    with FaultProxy(devnet.url) as bad:
        town.configure(chain={"rpc_urls": [bad.url, devnet.url], "chain_id": 1})
        endpoint = town.keeper(0).endpoint
        header = endpoint.header()
        bad.set("eth_call", Drop())
        assert len(Group(lenses).read_at(endpoint, header)) == 3
        assert endpoint.status()[0].errors["connection"] == 1


def test_a_quorum_agrees_on_what_a_group_reads(town, lenses, devnet):
    with FaultProxy(devnet.url) as other:
        chain = {"rpc_urls": [other.url, devnet.url], "chain_id": 1, "tolerance": {"quorum": 2}}
        town.configure(chain=chain)
        endpoint = town.keeper(0).endpoint
        header = endpoint.header()
        group = Group(lenses)
        assert group.read_at(endpoint, header) == group.read_at(town.endpoint, header)
        assert other.asked("eth_call") == 2
