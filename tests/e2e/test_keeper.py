"""The keeper against the offline mainnet: from a deployed vault to a confirmed batch, and all that can prevent it."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from eth_abi.abi import encode
from eth_account import Account
from eth_utils.abi import function_signature_to_4byte_selector as selector
from eth_utils.address import to_checksum_address
from place import KEEPER, OWNER, POLICY, STRANGER, VENUES

from keeper.chain import artifacts, bindings
from keeper.chain.errors import NodeError, RpcError, WrongChainError
from keeper.chain.lens import explain_price_error
from keeper.devnet import FACTORIES, TOKENS
from keeper.devnet.tables import BALANCER_VAULT, POOL_MANAGER
from keeper.devnet.world import transact
from keeper.domain import InputError, load_snapshot
from keeper.loop import plan
from keeper.ops.preflight import Surroundings, preflight
from keeper.policy import decide
from keeper.submit.errors import SendError, SimulationError
from keeper.submit.keys import EnvironmentKey
from keeper.submit.order import ZERO_ADDRESS, Order
from keeper.submit.relay import PublicMempool
from keeper.submit.sender import Sending, Transaction, fees, prepare, rebalanced, sign, simulate
from keeper.submit.unlock import unlock

KINDS = ("uniswap_v2", "uniswap_v3", "uniswap_v4", "balancer_v2")
IMPATIENT = Sending(timeout_seconds=30, poll_seconds=0.01)


def assert_one_line(stderr: str, *parts: str) -> None:
    assert stderr.count("\n") == 1
    assert stderr.startswith("keeper: ")
    assert "Traceback" not in stderr
    for part in parts:
        assert part in stderr


# Reading


def test_a_snapshot_reads_back_and_says_what_the_contracts_say(place):
    code, out, err = place.run("snapshot")
    snapshot = load_snapshot(out)
    assert (code, err) == (0, "")
    assert dict(zip(place.balances(), snapshot.balances, strict=True)) == {
        asset.token.lower(): asset.balance for asset in snapshot.vault.assets
    }
    assert snapshot.block.hash == place.endpoint.header().hash
    assert {pool.kind for pool in snapshot.pools} == {"uniswap_v2", "uniswap_v3"}
    assert snapshot.native_price == int(TOKENS["WETH"].price) * 10**18
    assert snapshot.vault.nonce == 0


def test_a_snapshot_holds_every_pool_of_its_tokens(place):
    snapshot = load_snapshot(place.run("snapshot")[1])
    tokens = {token.address for token in snapshot.tokens}
    expected = {
        pool.address
        for pool in place.devnet.pools()
        if pool.kind in {"uniswap_v2", "uniswap_v3"} and tokens.issuperset(pool.tokens)
    }
    assert {pool.address for pool in snapshot.pools} == expected


def test_a_window_of_ticks_says_where_it_ends(place):
    place.configure(tick_words=1)
    pools = [pool for pool in load_snapshot(place.run("snapshot")[1]).pools if pool.kind == "uniswap_v3"]
    assert pools
    for pool in pools:
        assert pool.tick_range is not None
        lower, upper = pool.tick_range
        assert lower <= pool.tick <= upper
        assert upper - lower <= 3 * 256 * pool.tick_spacing


def test_a_block_that_was_reorganised_away_is_not_read(place):
    header = place.endpoint.header()
    state = place.devnet.rpc("evm_snapshot")
    place.devnet.mine(2)
    lost = place.endpoint.header()
    place.devnet.rpc("evm_revert", state)
    lens = place.keeper.lens
    assert lens.read_at(place.endpoint, header).block.hash == header.hash
    with pytest.raises(RpcError):
        lens.read_at(place.endpoint, lost)


def test_a_node_that_reads_another_block_than_asked_for_is_not_believed(place):
    header = place.endpoint.header()
    with pytest.raises(RpcError, match="the node read that of"):
        place.keeper.lens.read_at(place.endpoint, replace(header, timestamp=header.timestamp + 1))


def test_a_reading_stays_at_its_block_while_the_chain_goes_on(place):
    header = place.endpoint.header()
    before = place.keeper.lens.read_at(place.endpoint, header)
    place.devnet.move_prices({"LINK": "30"})
    assert place.keeper.lens.read_at(place.endpoint, header).tokens == before.tokens
    assert place.keeper.read().tokens != before.tokens


def test_too_many_connectors_for_one_call_are_bad_input(place):
    place.configure(connectors=[f"0x{n:040x}" for n in range(1, 1500)])
    code, _, err = place.run("snapshot")
    assert code == 2
    assert_one_line(err, "49152", "configure fewer connectors or venues")


def test_a_symbol_that_is_no_text_does_not_stop_the_keeper(place):
    evil = to_checksum_address("0x" + "66" * 20)
    place.devnet.rpc("anvil_setCode", evil, "0x" + artifacts.load("DevToken").runtime.hex())
    names = encode(["bytes", "bytes", "uint8"], [b"Evil", b"\xff\x1b[31mEVIL\n", 18])
    transact(place.endpoint, evil, selector("initialize(string,string,uint8)") + names)
    place.configure(connectors=[evil])
    symbols = {token.address: token.symbol for token in load_snapshot(place.run("snapshot")[1]).tokens}
    assert symbols[evil] == "\N{REPLACEMENT CHARACTER} [31mEVIL"


def test_a_connector_that_is_no_token_is_bad_input(place):
    place.configure(connectors=[FACTORIES["uniswap_v2"]])
    code, _, err = place.run("snapshot")
    assert code == 2
    assert_one_line(err, "check the deployment file, the connectors and the venues")


def test_a_venue_listed_twice_is_bad_input(place):
    place.configure(venues=[VENUES[0], VENUES[0]])
    code, _, err = place.run("snapshot")
    assert code == 2
    assert_one_line(err, "duplicate pool")


# Prices


def test_a_stale_price_refuses_with_its_age_and_heartbeat(place):
    place.devnet.mine(seconds=5000)
    for command in (["plan"], ["snapshot"], ["run", "--once"]):
        code, _, err = place.run(*command)
        assert code == 3
        assert_one_line(err, "the price of WETH is stale: ", " s old, and its heartbeat is 4500 s")


def test_status_shows_a_vault_whose_price_is_refused(place):
    place.devnet.mine(seconds=5000)
    code, out, err = place.run("status")
    assert (code, err) == (0, "")
    assert "the price of WETH is stale" in out
    code, out, _ = place.run("status", "--json")
    found = json.loads(out)
    assert found["nav"] is None
    refusals = {asset["symbol"]: asset["refusal"] for asset in found["assets"]}
    assert refusals["USDC"] is None
    assert "stale" in refusals["WETH"]


def test_a_price_out_of_bounds_refuses_with_the_bounds(place):
    place.devnet.move_prices({"WETH": "1"})
    code, _, err = place.run("plan")
    assert code == 3
    assert_one_line(err, "the price of WETH is out of bounds: $1 is not between $100 and $100000")


def test_a_price_that_is_not_positive_is_explained():
    data = selector("NotPositive(address,int256)") + encode(["uint256", "int256"], [1, -5])
    assert explain_price_error("WETH", data, 0) == "the price of WETH is not positive: its feed answered -5"


def test_a_native_token_without_a_feed_refuses(place):
    place.redeploy(native_token=TOKENS["DAI"].address)
    code, _, err = place.run("plan")
    assert code == 3
    assert_one_line(err, "the vault's oracle has no feed for DAI")


def test_an_unknown_price_error_is_still_named():
    assert explain_price_error("WETH", b"", 0) == "the oracle gave no price for WETH: reverted without a reason"
    assert "0x12345678" in explain_price_error("WETH", bytes.fromhex("12345678"), 0)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "reverted without a reason"),
        (bytes.fromhex("12345678"), "reverted with the unknown error 0x12345678"),
        (selector("Error(string)") + encode(["string"], ["no\x1b[31m\n way"]), "no [31m way"),
        (selector("Error(string)") + encode(["bytes"], [b"\xff"]), "reverted with the unknown error 0x08c379a0"),
        (selector("Panic(uint256)") + encode(["uint256"], [17]), "Panic(code 17)"),
        (selector("TransferFailed()"), "TransferFailed()"),
        (
            selector("CoolingDown(uint256,uint256)") + encode(["uint256"] * 2, [5, 9]),
            "CoolingDown(timestamp 5, readyAt 9)",
        ),
    ],
)
def test_revert_data_is_put_in_words(data, words):
    assert bindings.explain(data) == words


# Looking


def test_check_finds_everything_in_order(place):
    code, out, err = place.run("check", "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (0, "", True)
    assert [check["name"] for check in found["checks"]] == [
        "database",
        "node",
        "chain",
        "vault code",
        "admin code",
        "oracle code",
        "executor code",
        "snapshot",
        "wiring",
        "paused",
        "oracle",
        "checkpoints",
        "allowances",
        "signer",
        "keeper role",
        "key and node",
        "balance",
    ]
    assert KEEPER.private_key[2:] not in out


def test_check_prints_a_table(place):
    code, out, _ = place.run("check")
    assert code == 0
    assert "keeper role" in out


def test_check_without_a_signer_says_that_it_can_only_run_dry(place):
    place.configure(signer=None)
    code, out, _ = place.run("check")
    assert code == 0
    assert "none configured" in out


def test_check_refuses_a_paused_vault(place):
    place.as_owner("setPaused", True)
    code, _, err = place.run("check")
    assert code == 3
    assert_one_line(err, "rebalancing is paused", OWNER.address)


def test_check_refuses_a_stale_oracle(place):
    place.devnet.mine(seconds=5000)
    code, _, err = place.run("check")
    assert code == 3
    assert_one_line(err, "oracle: ", "is stale")


def test_check_finds_a_signer_that_cannot_pay(place):
    place.devnet.rpc("anvil_setBalance", KEEPER.address, "0x0")
    code, _, err = place.run("check")
    assert code == 2
    assert_one_line(err, "balance: ", "has nothing to pay gas with")


def test_check_finds_an_executor_that_is_not_the_vaults(place):
    other = place.deployment.oracle
    hashes = place.deployment.code_hashes.model_copy(update={"executor": place.deployment.code_hashes.oracle})
    place.redeploy(executor=other, code_hashes=hashes)
    code, _, err = place.run("check")
    assert code == 2
    assert_one_line(err, "wiring: the vault's executor is")


@pytest.mark.parametrize(
    ("owner", "spender"),
    [
        ("vault", "executor"),
        ("vault", KEEPER.address),
        ("vault", BALANCER_VAULT),
        ("executor", KEEPER.address),
        ("executor", "vault"),
        ("executor", BALANCER_VAULT),
    ],
)
def test_check_finds_an_allowance_of_the_vault_or_the_executor(place, owner, spender):
    weighted = next(pool for pool in place.devnet.pools() if pool.kind == "balancer_weighted")
    factory = {"address": FACTORIES["balancer_weighted"], "makes": "weighted"}
    place.configure(
        venues=[*VENUES, {"kind": "balancer_v2", "factories": [factory], "pools": [weighted.id]}],
        connectors=[token.address for token in TOKENS.values()],
    )
    sender = getattr(place.deployment, owner)
    place.devnet.rpc("anvil_impersonateAccount", sender)
    place.devnet.rpc("anvil_setBalance", sender, hex(10**18))
    data = bindings.ERC20.encode("approve", getattr(place.deployment, spender, spender), 1)
    transact(place.endpoint, TOKENS["LINK"].address, data, sender=sender)
    code, _, err = place.run("check")
    assert code == 2
    assert_one_line(err, "allowances: ", f"may spend the {owner}'s LINK")


@pytest.mark.parametrize(("allowed", "exit_code"), [(100, 0), (99, 3)])
def test_preflight_refuses_prices_that_the_policy_would(place, allowed, exit_code):
    keeper = place.keeper
    place.devnet.refresh_feeds()
    oldest = min(facts.price_updated_at for facts in keeper.read().basket)
    place.devnet.mine(seconds=oldest + 100 - keeper.read().block.timestamp)
    around = Surroundings(max_price_age=allowed)
    checks = preflight(keeper.endpoint, keeper.deployment, keeper.lens, None, around)
    assert next(check.exit_code for check in checks if check.name == "oracle") == exit_code


def test_status_weighs_the_basket_as_the_vault_does(place):
    found = json.loads(place.run("status", "--json")[1])
    vault = place.deployment.vault
    weights = bindings.view(place.endpoint, "IndexVault", vault, "weights", block="latest")
    assert [int(asset["weight"]) for asset in found["assets"]] == list(weights)
    assert int(found["nav"]) == bindings.view(place.endpoint, "IndexVault", vault, "nav", block="latest")
    assert found["cooldown_seconds"] == 0


def test_status_is_readable_without_json(place):
    code, out, _ = place.run("status")
    assert code == 0
    assert "dead band 1%" in out


# Bad input


@pytest.mark.parametrize("command", [["check"], ["status"], ["snapshot"], ["plan"], ["run", "--once", "--live"]])
def test_another_chain_id_is_one_line(place, command):
    place.configure(chain={"rpc_url": place.devnet.url, "chain_id": 10})
    place.redeploy(chain_id=10)
    code, _, err = place.run(*command)
    assert code == 2
    assert_one_line(err, "follows chain 1, but the configuration says chain_id 10")


@pytest.mark.parametrize("command", [["check"], ["status"], ["run", "--once", "--live"]])
def test_another_chain_with_the_same_id_is_one_line(place, command):
    block = place.deployment.deployment_block
    place.redeploy(deployment_block=block.model_copy(update={"hash": "0x" + "00" * 32}))
    code, _, err = place.run(*command)
    assert code == 2
    assert_one_line(err, "follows another chain with the same id")


def test_a_chain_that_is_behind_the_deployment_is_one_line(place):
    block = place.deployment.deployment_block
    place.redeploy(deployment_block=block.model_copy(update={"number": 10**9}))
    code, _, err = place.run("status")
    assert code == 2
    assert_one_line(err, "has no block 1000000000: it follows another chain, or is not in sync")


@pytest.mark.parametrize("command", [["check"], ["status"], ["run", "--once", "--live"]])
@pytest.mark.parametrize("name", ["vault", "oracle", "executor"])
def test_missing_code_is_one_line(place, command, name):
    nowhere = "0x000000000000000000000000000000000000dEaD"
    place.redeploy(**{name: nowhere})
    code, _, err = place.run(*command)
    assert code == 2
    assert_one_line(err, f"there is no contract at {nowhere}")


@pytest.mark.parametrize("command", [["check"], ["status"]])
def test_other_code_than_was_deployed_is_one_line(place, command):
    place.redeploy(vault=TOKENS["WETH"].address)
    code, _, err = place.run(*command)
    assert code == 2
    assert_one_line(err, "the vault at ", "was deployed")


@pytest.mark.parametrize("command", [["check"], ["run", "--once", "--live"]])
def test_a_key_that_is_not_the_keepers_is_one_line(place, monkeypatch, command):
    monkeypatch.setenv("KEEPER_KEY", STRANGER.private_key)
    code, _, err = place.run(*command)
    assert code == 2
    assert_one_line(err, f"{STRANGER.address} is not the keeper", KEEPER.address)
    assert STRANGER.private_key[2:] not in err


def test_going_live_without_a_signer_is_one_line(place):
    place.configure(signer=None)
    code, _, err = place.run("run", "--once", "--live")
    assert code == 2
    assert_one_line(err, "--live needs a signer")


def test_a_private_key_does_not_sign_on_the_devnet(place, monkeypatch):
    key = "0x" + "5e" * 32
    address = Account.from_key(key).address
    place.devnet.rpc("anvil_setBalance", address, hex(10**18))
    place.change("setKeeper", address)
    monkeypatch.setenv("KEEPER_KEY", key)
    before = place.endpoint.header()
    for command in (["check"], ["run", "--once", "--live"]):
        code, _, err = place.run(*command)
        assert code == 2
        assert_one_line(err, "may not sign on a development node")
    assert place.endpoint.header() == before


# Deciding and sending


def test_a_plan_from_the_chain_is_the_plan_from_its_snapshot(place, tmp_path, capsys):
    (tmp_path / "snapshot.json").write_text(place.run("snapshot")[1])
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    code, online, _ = place.run("plan", "--json")
    offline = place.run(
        "plan", "--snapshot", tmp_path / "snapshot.json", "--policy", tmp_path / "policy.json", "--json"
    )
    assert code == 0
    assert offline == (0, online, "")
    assert json.loads(online)["action"] == "rebalance"


def test_a_dry_run_simulates_and_sends_nothing(place):
    before = place.endpoint.header()
    code, out, err = place.run("run", "--once", "--json")
    outcome = json.loads(out)
    assert (code, err) == (0, "")
    assert outcome["status"] == "planned"
    assert outcome["realised"] is None
    assert Order.decode(bytes.fromhex(outcome["order"][2:])).nonce == 1
    assert place.endpoint.header() == before


def test_a_dry_run_needs_no_key(place):
    place.configure(signer=None)
    code, out, _ = place.run("run", "--once")
    assert code == 0
    assert "was not sent; --live sends it" in out


@pytest.mark.parametrize("kinds", [("uniswap_v2",), ("uniswap_v3",), ("uniswap_v4",), KINDS], ids="+".join)
def test_what_was_predicted_is_what_happened_to_the_wei(place, kinds):
    ids = [pool.id for pool in place.devnet.pools() if pool.kind.startswith("balancer")]
    factories = [{"address": FACTORIES[f"balancer_{makes}"], "makes": makes} for makes in ("weighted", "stable")]
    venues = [
        *VENUES,
        {"kind": "uniswap_v4", "manager": POOL_MANAGER},
        {"kind": "balancer_v2", "factories": factories, "pools": ids},
    ]
    place.configure(
        venues=[venue for venue in venues if venue["kind"] in kinds],
        connectors=[TOKENS[symbol].address for symbol in ("USDT", "DAI", "AAVE")],
    )
    before = place.balances()
    code, out, err = place.run("run", "--once", "--live", "--json")
    outcome = json.loads(out)
    assert (code, err) == (0, "")
    assert outcome["status"] == "confirmed"

    done, decision = outcome["realised"], outcome["decision"]
    predicted = Counter({buy["token"]: int(buy["amount"]) for buy in decision["buys"]})
    predicted.subtract({sell["token"]: int(sell["amount"]) for sell in decision["sells"]})
    assert predicted
    assert {token: int(amount) for token, amount in done["predicted"].items()} == predicted
    assert {token: int(amount) for token, amount in done["realised"].items()} == predicted
    assert done["predicted_cost"] == done["realised_cost"] != "0"
    moved = {token: after - before[token] for token, after in place.balances().items() if after != before[token]}
    assert moved == {token.lower(): amount for token, amount in predicted.items()}
    assert int(done["drift_after"]) < int(done["drift_before"])


def test_a_sold_token_goes_straight_into_its_first_pair(place):
    place.configure(venues=VENUES[:1], connectors=[])
    outcome = json.loads(place.run("run", "--once", "--live", "--json")[1])
    order = Order.decode(bytes.fromhex(outcome["order"][2:]))
    pools = {swap["pool"].lower() for swap in outcome["decision"]["swaps"]}
    assert any(sell.to != ZERO_ADDRESS for sell in order.sells)
    assert {sell.to for sell in order.sells} <= pools | {ZERO_ADDRESS}
    assert outcome["status"] == "confirmed"


def test_nothing_is_left_in_the_executor(place):
    place.run("run", "--once", "--live")
    for token in TOKENS.values():
        left = bindings.view(
            place.endpoint, bindings.ERC20, token.address, "balanceOf", place.deployment.executor, block="latest"
        )
        assert left == 0


def test_a_balanced_vault_is_held(place):
    place.run("run", "--once", "--live")
    place.devnet.mine(seconds=600)
    place.devnet.refresh_feeds()
    code, out, err = place.run("run", "--once", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["status"] == "hold"


def test_a_vault_that_is_cooling_down_is_held(place):
    place.run("run", "--once", "--live")
    place.devnet.mine(2)  # final by now
    place.devnet.move_prices({"LINK": "33"})
    before = place.endpoint.header()
    code, out, err = place.run("run", "--once", "--live", "--json")
    outcome = json.loads(out)
    assert (code, err, outcome["status"]) == (0, "", "hold")
    assert "cooling down for another" in outcome["reason"]
    assert outcome["decision"]["action"] == "rebalance"
    assert place.endpoint.header() == before


def test_a_paused_vault_is_refused(place):
    place.as_owner("setPaused", True)
    code, out, err = place.run("run", "--once", "--live", "--json")
    assert code == 3
    assert json.loads(out)["status"] == "refused"
    assert_one_line(err, "rebalancing is paused")


def test_a_gas_price_above_the_ceiling_is_refused(place):
    place.configure(policy=POLICY | {"max_gas_price_wei": 1})
    code, out, err = place.run("run", "--once", "--live", "--json")
    assert code == 3
    assert json.loads(out)["status"] == "refused"
    assert_one_line(err, "refused: ")


@pytest.fixture
def batch(place):
    """A reading, the decision made at it, the encoded order and a signer."""
    keeper = place.keeper
    reading = keeper.read()
    snapshot = reading.snapshot()
    decision = decide(snapshot, keeper.config.policy)
    order = plan(reading, snapshot, decision, 300)
    signer = unlock(EnvironmentKey(kind="environment", variable="KEEPER_KEY"))
    return SimpleNamespace(
        endpoint=place.endpoint, reading=reading, decision=decision, order=order, signer=signer, sending=IMPATIENT
    )


def prepared(batch, sending: Sending = IMPATIENT) -> Transaction:
    order = batch.order.encode()
    return prepare(batch.endpoint, batch.reading, KEEPER.address, order, sending=sending, max_gas_price=None)


def send(batch) -> str:
    signed = sign(batch.endpoint, batch.signer, prepared(batch))
    PublicMempool(batch.endpoint).send(signed.raw, max_block=0)
    return signed.hash


def test_a_batch_the_vault_would_refuse_is_not_sent(batch):
    order = replace(batch.order, nonce=batch.order.nonce + 1).encode()
    with pytest.raises(SimulationError, match=r"WrongNonce\(given 2, expected 1\)"):
        simulate(batch.endpoint, batch.reading, KEEPER.address, order)
    with pytest.raises(SimulationError, match="WrongNonce"):
        prepare(batch.endpoint, batch.reading, KEEPER.address, order, sending=IMPATIENT, max_gas_price=None)


def test_an_account_with_a_transaction_under_way_sends_no_other(batch, manual_mining):
    send(batch)
    with pytest.raises(SendError, match=r"1 transaction\(s\) under way"):
        send(batch)


def test_an_account_that_cannot_pay_the_gas_sends_nothing(batch, place):
    place.devnet.rpc("anvil_setBalance", KEEPER.address, "0x1")
    with pytest.raises(SendError, match=r"holds 0\.000000000000000001 of the native token"):
        send(batch)


def test_a_transaction_is_signed_by_its_sender_only(batch):
    with pytest.raises(InputError, match="but the transaction is from"):
        sign(batch.endpoint, batch.signer, replace(prepared(batch), sender=OWNER.address))


def test_a_transaction_is_not_signed_for_another_chain(batch):
    with pytest.raises(WrongChainError, match="chain_id 10"):
        sign(batch.endpoint, batch.signer, replace(prepared(batch), chain_id=10))


def test_bytes_that_a_node_refuses_are_reported(batch):
    with pytest.raises(SendError, match="the node refused transaction 0x"):
        PublicMempool(batch.endpoint).send(b"\x02\x01", max_block=0)


def test_bytes_that_a_node_has_already_are_no_error(batch, manual_mining):
    signed = sign(batch.endpoint, batch.signer, prepared(batch))
    for _ in range(2):
        PublicMempool(batch.endpoint).send(signed.raw, max_block=0)


def test_a_receipt_without_the_vaults_event_tells_nothing_of_the_batch(batch):
    transaction_hash = send(batch)
    batch.endpoint.request("evm_mine")
    receipt = batch.endpoint.request("eth_getTransactionReceipt", transaction_hash)
    vault = batch.reading.vault.address
    event = rebalanced(vault, receipt)
    assert event is not None
    assert event["nonce"] == 1
    assert rebalanced(vault, receipt | {"logs": receipt["logs"][:-1]}) is None


def test_the_gas_limit_leaves_the_configured_margin(batch):
    tight = prepared(batch, Sending(gas_margin_bps=0))
    assert prepared(batch, Sending(gas_margin_bps=10_000)).gas == 2 * tight.gas


def test_fees_leave_room_for_a_rising_base_fee_up_to_the_ceiling():
    assert fees(100, 7, None) == (207, 7)
    assert fees(100, 7, 150) == (150, 7)
    assert fees(100, 7, 5) == (5, 5)


def test_a_call_that_fails_without_the_vault_is_the_nodes_failure(batch):
    lost = replace(batch.reading, block=batch.reading.block.model_copy(update={"hash": "0x" + "00" * 32}))
    with pytest.raises(NodeError):
        simulate(batch.endpoint, lost, KEEPER.address, batch.order.encode())


# The loop


def test_a_keeper_ticks_until_it_is_told_to_stop(place):
    command = [sys.executable, "-c", "from keeper.cli import main; main()", "run", "--live", "--json"]
    with subprocess.Popen(  # noqa: S603 - our own command
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "BALLAST_CONFIG": str(place.path)},
    ) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (first["status"], second["status"]) == ("confirmed", "waiting")
    assert second["block_number"] == first["realised"]["block_number"]
    assert (process.returncode, out, err) == (0, "", "")
