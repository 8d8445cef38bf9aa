import json
from decimal import Decimal, localcontext

import pytest
from builders import LINK, LISTED, UNI, USDC, WBTC, WETH, address, as_file, curve_pool, pool_id, snapshot, stable_pool
from pydantic import ValidationError

from keeper.domain import InputError, load_snapshot
from keeper.pools import BalancerStablePool, CurveStableSwapPool, RatedHolding, StableSwapPool, SwapError
from keeper.units import WAD

AMOUNTS = {USDC: 4e6, LINK: 1e6, UNI: 9e6}  # taken to be worth the same
BALANCER, CURVE = stable_pool(1, AMOUNTS), curve_pool(2, AMOUNTS)
BOTH = pytest.mark.parametrize("pool", [BALANCER, CURVE], ids=["balancer", "curve"])


def exact_output(pool: StableSwapPool, place_in: int, place_out: int, amount: Decimal) -> Decimal:
    """What the equation of the invariant gives for this much more, in the common unit, solved to 40 digits."""
    with localcontext(prec=70):
        x = [Decimal(held.balance) * held.rate / WAD for held in pool.holdings]
        n = len(x)
        ann = Decimal(pool.amplification) * n / pool.a_precision

        def excess(x: list[Decimal], d: Decimal) -> Decimal:
            product = d
            for balance in x:
                product *= d / (balance * n)
            return ann * sum(x) + d - ann * d - product

        low, high = Decimal(0), sum(x) * 2
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(x, middle) > 0 else (low, middle)
        d, before = low, x[place_out]
        x[place_in] += amount
        low, high = Decimal(0), before
        for _ in range(200):
            x[place_out] = (low + high) / 2
            low, high = (x[place_out], high) if excess(x, d) < 0 else (low, x[place_out])
        return before - low


@BOTH
@pytest.mark.parametrize(("place_in", "place_out"), [(0, 1), (1, 0), (1, 2), (2, 0)])
def test_a_swap_pays_by_the_invariant_less_the_fee(pool, place_in, place_out):
    token_in, token_out = pool.tokens[place_in], pool.tokens[place_out]
    amount = pool.holdings[place_in].balance // 7
    kept = 1 - Decimal(pool.fee) / WAD
    scaled = Decimal(amount) * pool.holdings[place_in].rate / WAD
    if pool is BALANCER:
        exact = exact_output(pool, place_in, place_out, scaled * kept)
    else:
        exact = exact_output(pool, place_in, place_out, scaled) * kept
    exact = exact * WAD / pool.holdings[place_out].rate
    paid = pool.swap(token_in, token_out, amount).amount_out
    assert exact * (1 - Decimal("1e-11")) - 2 < paid <= exact + 1  # Curve rounds the fee down


@BOTH
def test_a_swap_near_balance_is_close_to_one_for_one(pool):
    amounts = {USDC: 1e6, UNI: 1e6}
    even = stable_pool(1, amounts) if pool is BALANCER else curve_pool(1, amounts)
    paid = even.swap(USDC.address, UNI.address, 10_000 * 10**6).amount_out
    assert 9_990 * 10**18 < paid < 9_996 * 10**18


@BOTH
def test_other_balances_stay_as_they_are(pool):
    paid, after = pool.swap(UNI.address, USDC.address, 10**18)
    assert after.holdings[1] == pool.holdings[1]
    assert after.holdings[2].balance == pool.holdings[2].balance + 10**18
    assert after.holdings[0].balance <= pool.holdings[0].balance - paid


def test_balancer_keeps_the_whole_fee():
    paid, after = BALANCER.swap(UNI.address, USDC.address, 10**21)
    assert after.holdings[0].balance == BALANCER.holdings[0].balance - paid


@pytest.mark.parametrize(("admin_fee", "part"), [(0, 0), (WAD // 2, 0.5), (WAD, 1)])
def test_curve_takes_the_administrators_part_of_the_fee_out_of_the_balances(admin_fee, part):
    pool = curve_pool(1, AMOUNTS, admin_fee=admin_fee)
    paid, after = pool.swap(UNI.address, USDC.address, 10**24)
    fee = paid / (1 - pool.fee / WAD) * pool.fee / WAD
    gone = pool.holdings[0].balance - after.holdings[0].balance - paid
    assert gone == pytest.approx(fee * part, abs=1)


@BOTH
@pytest.mark.parametrize("amount", [0, -1, 1])
def test_an_input_too_small_to_buy_one_unit_is_refused(pool, amount):
    with pytest.raises(SwapError, match="too small"):
        pool.swap(UNI.address, USDC.address, amount)


@BOTH
def test_a_token_that_the_pool_does_not_hold_is_refused(pool):
    with pytest.raises(SwapError, match="does not hold"):
        pool.swap(UNI.address, WBTC.address, 10**18)


@BOTH
def test_a_token_is_not_swapped_for_itself(pool):
    with pytest.raises(SwapError, match="for itself"):
        pool.swap(UNI.address, UNI.address, 10**18)


@BOTH
@pytest.mark.parametrize(("place_in", "place_out"), [(0, 1), (1, 0), (1, 2), (2, 0)])
def test_the_marginal_price_is_that_of_a_small_swap(pool, place_in, place_out):
    token_in, token_out = pool.tokens[place_in], pool.tokens[place_out]
    amount = pool.holdings[place_in].balance // 10**5
    paid = pool.swap(token_in, token_out, amount).amount_out
    assert pool.marginal_price(token_in, token_out) == pytest.approx(paid / amount, rel=1e-5)


@BOTH
@pytest.mark.parametrize(("place_in", "place_out"), [(0, 1), (1, 0), (1, 2), (2, 0)])
def test_virtual_reserves_quote_the_depth(pool, place_in, place_out):
    free = pool.model_copy(update={"fee": 0})
    token_in, token_out = pool.tokens[place_in], pool.tokens[place_out]
    reserve_in, reserve_out = free.virtual_reserves(token_in, token_out)
    amount = int(reserve_in / 10**5)
    first, whole = (free.swap(token_in, token_out, part).amount_out for part in (amount // 2, amount))
    assert whole == pytest.approx(reserve_out * amount / (reserve_in + amount), rel=1e-6)
    # The bend alone: what the second half of the input buys less than the first.
    assert 2 * first - whole == pytest.approx(reserve_out * (amount / reserve_in) ** 2 / 2, rel=0.02)


@BOTH
def test_a_snapshot_survives_its_file_and_holds_the_fields_of_version_1(pool):
    facts = snapshot({USDC: (1, 1)}, (pool,))
    (file,) = as_file(facts)["pools"]
    expected = {"kind", "address", "amplification", "a_precision", "fee", "tokens"}
    assert set(file) == (expected | {"id"} if pool is BALANCER else expected)
    assert set(file["tokens"][0]) == {"token", "balance", "rate"}
    assert (file["amplification"], file["a_precision"]) == (pool.amplification, pool.a_precision)
    assert load_snapshot(facts.model_dump_json()) == facts


def test_a_curve_pool_is_named_by_its_address_or_by_its_id_if_it_has_one():
    assert CURVE.name == CURVE.address
    assert curve_pool(1, AMOUNTS, id="0xab").name == "0xab"


def test_a_balancer_pool_is_named_by_its_id():
    assert BALANCER.name == pool_id(1)


@BOTH
def test_rates_that_lack_the_decimals_get_them_from_the_snapshot(pool):
    file = as_file(snapshot({USDC: (1, 1)}, (pool,)))
    for holding in file["pools"][0]["tokens"]:
        holding["rate"] = str(WAD)
    assert load_snapshot(json.dumps(file)).pools == (pool,)


@pytest.mark.parametrize(
    ("rate", "known"),
    [
        (WAD, 10**30),
        (3 * WAD, 3 * 10**30),
        (10**24 - 1, (10**24 - 1) * 10**12),
        (10**24, 10**24),
        (10**30, 10**30),
        (2 * 10**30, 2 * 10**30),
    ],
)
def test_a_rate_lacks_the_decimals_if_it_is_nearer_to_one_without_them(rate, known):
    holding = RatedHolding(token=USDC.address, balance=1, rate=rate)
    assert holding.listed(LISTED[USDC.address.lower()]).rate == known


def test_the_rate_of_a_token_of_18_decimals_is_taken_as_it_is():
    for rate in (WAD // 5, 12 * WAD // 10, 10**21):
        holding = RatedHolding(token=WETH.address, balance=1, rate=rate)
        assert holding.listed(LISTED[WETH.address.lower()]).rate == rate


@BOTH
def test_a_token_of_more_than_18_decimals_is_refused(pool):
    file = as_file(snapshot({USDC: (1, 1)}, (pool,)))
    file["tokens"].append({"address": address(777), "symbol": "FINE", "decimals": 19})
    file["pools"][0]["tokens"][1]["token"] = address(777)
    with pytest.raises(InputError, match="19 decimals"):
        load_snapshot(json.dumps(file))


@BOTH
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amplification": 99}, "below a_precision"),
        ({"amplification": 0}, "greater than 0"),
        ({"a_precision": 0}, "greater than 0"),
        ({"fee": str(WAD)}, "less than"),
        ({"tokens": []}, "at least 2"),
    ],
)
def test_a_pool_that_contradicts_itself_is_refused(pool, changes, message):
    with pytest.raises(ValidationError, match=message):
        type(pool).model_validate_json(json.dumps(pool.model_dump(mode="json") | {"a_precision": 100} | changes))


@BOTH
def test_a_token_listed_twice_is_refused(pool):
    file = pool.model_dump(mode="json")
    file["tokens"].append(file["tokens"][0])
    with pytest.raises(ValidationError, match="listed 2 times"):
        type(pool).model_validate_json(json.dumps(file))


@pytest.mark.parametrize("changes", [{"balance": 0}, {"rate": 0}])
def test_a_holding_of_nothing_or_worth_nothing_is_refused(changes):
    with pytest.raises(ValidationError, match="greater than 0"):
        RatedHolding(**{"token": WETH.address, "balance": 1, "rate": WAD} | changes)


@pytest.mark.parametrize("name", ["fee", "admin_fee"])
def test_a_fee_that_curve_cannot_store_is_refused(name):
    curve_pool(1, AMOUNTS, **{name: 10**8})
    with pytest.raises(ValidationError, match="not a multiple"):
        curve_pool(1, AMOUNTS, **{name: 10**8 + 1})


def test_a_balancer_pool_of_more_than_five_tokens_is_refused():
    holdings = tuple(RatedHolding(token=address(n), balance=1, rate=WAD) for n in range(6))
    fields = {"address": address(1), "amplification": 1, "a_precision": 1, "fee": 0, "tokens": holdings}
    assert len(CurveStableSwapPool(**fields).tokens) == 6
    with pytest.raises(ValidationError, match="at most 5"):
        BalancerStablePool(id=pool_id(1), **fields)


def crooked(kind: type[StableSwapPool], *holdings: tuple[int, int]) -> StableSwapPool:
    """A pool of A = 9 with these raw balances and rates."""
    fields = {"address": address(1), "amplification": 9, "a_precision": 1, "fee": 0}
    if kind is BalancerStablePool:
        fields["id"] = pool_id(1)
    tokens = tuple(RatedHolding(token=address(n), balance=b, rate=r) for n, (b, r) in enumerate(holdings))
    return kind.model_validate(fields | {"tokens": tokens})


@pytest.mark.parametrize("kind", [BalancerStablePool, CurveStableSwapPool])
@pytest.mark.parametrize(
    ("holdings", "message"),
    [
        ([(10**20, WAD), (1, WAD // 2)], "nothing in the common unit"),
        ([(15 * 10**18, WAD), (394_299_446, WAD // 2)], "does not converge"),
    ],
)
def test_a_pool_in_which_the_contract_reverts_refuses_to_swap_but_has_a_price(kind, holdings, message):
    pool = crooked(kind, *holdings)
    with pytest.raises(SwapError, match=message):
        pool.swap(address(0), address(1), 10**18)
    assert 0 < pool.marginal_price(address(0), address(1)) < 1


def test_a_balancer_pool_whose_balances_are_too_far_apart_refuses_to_swap():
    pool = crooked(BalancerStablePool, (18_085, WAD), (10_389, WAD // 2), (4 * 10**30, 10**30))
    with pytest.raises(SwapError, match="too far apart"):
        pool.swap(address(0), address(1), 6_000)
