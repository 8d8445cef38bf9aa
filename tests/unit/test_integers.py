"""From trades to swaps that the executor can carry out, in raw units."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from builders import LINK, UNI, USDC, WBTC, WETH, v2_pool, v3_pool
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.pools import SwapError
from keeper.routing.integers import Ledger, Trade, carry_out

TO_WETH, TO_LINK, BACK = v2_pool(1, USDC, WETH, 1e7), v2_pool(2, WETH, LINK, 1e7), v2_pool(3, USDC, LINK, 1e7)
POOLS = (TO_WETH, TO_LINK, BACK)
TO_WETH_TOO = v2_pool(6, USDC, WETH, 1e7)


def ledger(pools=POOLS, **balances: int) -> Ledger:
    coins = {"usdc": USDC, "weth": WETH, "link": LINK}
    return Ledger({pool.name: pool for pool in pools}, {coins[name].address: n for name, n in balances.items()})


def trade(pool, coin_in, coin_out, usd: float) -> Trade:
    return Trade(pool.name, coin_in.address, coin_out.address, coin_in.amount(usd), usd)


def test_what_a_trade_spends_comes_in_before_it():
    book = ledger(usdc=USDC.amount(1e5))
    undone = carry_out(book, [trade(TO_LINK, WETH, LINK, 997), trade(TO_WETH, USDC, WETH, 1000)], most_parts=48)
    assert undone == []
    assert [swap.pool for swap in book.swaps] == [TO_WETH.name, TO_LINK.name]


def test_nothing_is_left_of_a_token_that_only_passes_through():
    book = ledger(usdc=USDC.amount(1e5), link=0)
    carry_out(book, [trade(TO_WETH, USDC, WETH, 1000), trade(TO_LINK, WETH, LINK, 990)], most_parts=48)
    assert book.change[WETH.address] == 0
    assert book.swaps[1].amount_in == book.swaps[0].amount_out


@pytest.mark.parametrize("change", [0, -WETH.amount(10), WETH.amount(10)])
def test_rounding_does_not_pass_a_fixed_change(change):
    """A thousandth more was planned to go out, which the vault has."""
    balances = {"usdc": USDC.amount(1e5), "weth": WETH.amount(1e5), "link": 0}
    trades = [trade(TO_WETH, USDC, WETH, 1000), trade(TO_LINK, WETH, LINK, 998)]
    book, other = ledger(**balances), ledger(**balances)
    assert carry_out(book, trades, 48, {WETH.address: change}) == []
    assert book.change[WETH.address] == change
    carry_out(other, trades, 48)
    assert other.change[WETH.address] < 0


def test_the_vault_sends_the_largest_shortfall_and_not_the_sum():
    book = ledger(usdc=USDC.amount(1e5), link=LINK.amount(1e5))
    carry_out(book, [trade(BACK, LINK, USDC, 1000), trade(TO_WETH, USDC, WETH, 1500)], most_parts=48)
    received = book.swaps[0].amount_out
    assert book.swaps[0].pool == BACK.name
    assert book.sent == {LINK.address: book.swaps[0].amount_in, USDC.address: book.swaps[1].amount_in - received}


def test_a_circle_larger_than_the_balance_is_gone_round_in_parts():
    book = ledger(usdc=USDC.amount(100))
    circle = [trade(TO_WETH, USDC, WETH, 300), trade(TO_LINK, WETH, LINK, 298), trade(BACK, LINK, USDC, 296)]
    assert carry_out(book, circle, most_parts=48) == []
    assert sum(swap.pool == TO_WETH.name for swap in book.swaps) > 1
    assert 0 < book.sent[USDC.address] <= USDC.amount(100)
    assert {token: change for token, change in book.change.items() if change} == {
        USDC.address: book.change[USDC.address]
    }


def test_no_more_parts_of_a_circle_are_done_than_allowed():
    book = ledger(usdc=USDC.amount(100))
    circle = [trade(TO_WETH, USDC, WETH, 300), trade(TO_LINK, WETH, LINK, 298), trade(BACK, LINK, USDC, 296)]
    assert carry_out(book, circle, most_parts=0) == circle
    assert book.swaps == []


def test_what_leads_out_of_a_circle_waits_for_what_goes_round_in_it():
    there, back, out = v2_pool(4, WETH, UNI, 1e7), v2_pool(5, WETH, UNI, 1e7, fee_pips=500), TO_LINK
    book = ledger((TO_WETH, there, back, out), usdc=USDC.amount(1000), link=0)
    # The way out is the largest trade, and all that is there could be spent on it at once.
    trades = [trade(TO_WETH, USDC, WETH, 1000), trade(out, WETH, LINK, 996)]
    trades += [trade(there, WETH, UNI, 500), trade(back, UNI, WETH, 498)]
    assert carry_out(book, trades, most_parts=48) == []
    assert book.swaps[-1].pool == out.name


@settings(deadline=None)
@given(st.lists(st.integers(1, 3), min_size=2, max_size=9), st.randoms(use_true_random=False))
def test_a_tour_is_finished_in_whatever_order_its_trades_are_listed(steps, random):
    """From the basket through any tokens, again and again, and back, with no more than the first trade spends."""
    coins = [USDC, WETH, LINK, UNI]
    places = [0]
    for step in steps:
        places.append((places[-1] + step) % 4)
    places += [0] if places[-1] else []
    pools, trades, amount = [], [], USDC.amount(1000)
    for number, (i, j) in enumerate(pairwise(places)):
        pool = v2_pool(10 + number, coins[i], coins[j], 1e8)
        pools.append(pool)
        trades.append(Trade(pool.name, coins[i].address, coins[j].address, amount, 1000 - 4 * number))
        amount = pool.swap(coins[i].address, coins[j].address, amount).amount_out
    random.shuffle(trades)
    book = ledger(tuple(pools), usdc=USDC.amount(1000))
    assert carry_out(book, trades, most_parts=150) == []
    spent = Counter[str]()
    for swap in book.swaps:
        spent[swap.pool] += swap.amount_in
    # In another order fees fall elsewhere, by what the slope of so deep a pool is: a millionth.
    assert all(spent[trade.pool] >= (1 - 1e-6) * trade.amount_in for trade in trades)
    assert len(book.swaps) <= 3 * len(trades)


def test_a_large_amount_does_not_wait_behind_a_small_trade():
    """WETH has its last way out, and another of which $9 are left, while $15 go round in a circle again and again."""
    coins, places = [USDC, WETH, LINK, UNI], [0, 3, 2, 0, 1, 0, 3, 1, 0, 2, 0]
    pools, trades, amount = [], [], USDC.amount(1000)
    for number, (i, j) in enumerate(pairwise(places)):
        pools.append(v2_pool(10 + number, coins[i], coins[j], 1e8))
        trades.append(Trade(pools[-1].name, coins[i].address, coins[j].address, amount, 1000 - 4 * number))
        amount = pools[-1].swap(coins[i].address, coins[j].address, amount).amount_out
    book = ledger(tuple(pools), usdc=USDC.amount(1000))
    assert carry_out(book, [trades[k] for k in (2, 5, 7, 3, 9, 6, 0, 1, 8, 4)], most_parts=150) == []
    assert len(book.swaps) < 30


def test_what_closes_a_circle_waits_for_what_goes_round_in_it():
    circle = (v2_pool(4, LINK, UNI, 1e7), v2_pool(5, LINK, UNI, 1e7))
    start = Trade(BACK.name, USDC.address, LINK.address, USDC.amount(100), 100)
    sold = Trade(BACK.name, LINK.address, USDC.address, LINK.amount(99), 99)
    # What leads to WETH is the shorter way out.
    around = [trade(circle[0], LINK, UNI, 1000), trade(circle[1], UNI, LINK, 990), trade(TO_LINK, LINK, WETH, 5)]

    def left(*trades: Trade) -> list[Trade]:
        return carry_out(ledger((*POOLS, *circle), weth=0, usdc=USDC.amount(1e5)), trades, most_parts=300)

    assert left(*around, start, sold) != []
    assert left(*around, start, replace(sold, closes=True)) == []


def test_what_leads_back_to_where_a_circle_closes_waits_for_the_circles_beyond():
    """LINK is bought, UNI leads back to it, and from UNI a smaller circle goes on to WBTC."""
    pools = (*(v2_pool(k, LINK, UNI, 1e8) for k in (4, 5)), *(v2_pool(k, UNI, WBTC, 1e8) for k in (7, 8)))
    start = Trade(BACK.name, USDC.address, LINK.address, USDC.amount(100), 100)
    sold = Trade(BACK.name, LINK.address, USDC.address, LINK.amount(99), 99, closes=True)
    small = [trade(pools[2], UNI, WBTC, 500), trade(pools[3], WBTC, UNI, 498)]
    book = ledger((*POOLS, *pools), usdc=USDC.amount(1e5))
    large = [trade(pools[0], LINK, UNI, 1000), trade(pools[1], UNI, LINK, 990)]
    assert carry_out(book, [*large, *small, start, sold], most_parts=300) == []
    names = [swap.pool for swap in book.swaps]
    assert max(k for k, name in enumerate(names) if name == pools[2].name) < names.index(pools[1].name)


@pytest.mark.parametrize("first", [0, 1])
def test_what_is_lost_on_the_way_comes_off_what_need_not_be_exact(first):
    """Of what passes through WETH a part goes on to USDC, which is to stay as it is, and the rest to LINK."""
    ways = [trade(TO_WETH, WETH, USDC, 500), trade(TO_LINK, WETH, LINK, 500)]
    short = Trade(TO_WETH_TOO.name, USDC.address, WETH.address, USDC.amount(1000), 1000)
    book = ledger((*POOLS, TO_WETH_TOO), usdc=USDC.amount(1e5), link=0)
    carry_out(book, [short, ways[first], ways[1 - first]], 48, {USDC.address: -USDC.amount(500)})
    spent = {swap.pool: swap.amount_in for swap in book.swaps}
    assert spent[TO_WETH.name] == WETH.amount(500)
    assert spent[TO_LINK.name] < WETH.amount(500)


def test_a_circle_of_tokens_that_the_vault_does_not_have_is_given_up():
    book = ledger(usdc=USDC.amount(100))
    pools = (v2_pool(4, WETH, LINK, 1e7), v2_pool(5, LINK, UNI, 1e7), v2_pool(6, WETH, UNI, 1e7))
    book.pools.update({pool.name: pool for pool in pools})
    circle = [trade(pools[0], WETH, LINK, 100), trade(pools[1], LINK, UNI, 100), trade(pools[2], UNI, WETH, 100)]
    assert carry_out(book, circle, most_parts=48) == circle
    assert (book.swaps, book.change) == ([], {})


def test_the_vault_keeps_what_the_pool_would_take_for_nothing():
    book = ledger(usdc=USDC.amount(1e5))
    # A raw unit of WBTC-like coarseness on the other side: many inputs pay the same.
    coarse = TO_WETH.model_copy(update={"reserve1": 1000})
    book.pools[coarse.name] = coarse
    carry_out(book, [trade(coarse, USDC, WETH, 60_000)], most_parts=48)
    (swap,) = book.swaps
    assert swap.amount_in < USDC.amount(60_000)
    assert coarse.swap(USDC.address, WETH.address, swap.amount_in).amount_out == swap.amount_out
    assert coarse.swap(USDC.address, WETH.address, swap.amount_in - 1).amount_out < swap.amount_out


def test_a_hair_too_much_for_the_ticks_that_are_known_is_taken_back():
    pool = v3_pool(7, USDC, WETH, 1e6, widths=(2,))
    low, high = 1, USDC.amount(1e6)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pool.swap(USDC.address, WETH.address, middle)
            low = middle
        except SwapError:
            high = middle
    book = ledger((pool,), usdc=USDC.amount(1e6))
    assert carry_out(book, [Trade(pool.name, USDC.address, WETH.address, low + 1, 1e6)], most_parts=48) == []
    assert low * 0.9999999 < book.swaps[0].amount_in <= low


@given(
    st.lists(
        st.tuples(st.sampled_from(POOLS), st.booleans(), st.integers(1, 100_000)),
        min_size=1,
        max_size=3,
        unique_by=lambda entry: entry[0].name,
    ),
    st.integers(0, 100_000),
)
def test_the_books_always_balance(entries, dollars):
    book = ledger(usdc=USDC.amount(dollars))
    coins = {coin.address: coin for coin in (USDC, WETH, LINK)}
    carry_out(
        book,
        [
            trade(pool, *(coins[token] for token in (pool.tokens if forwards else pool.tokens[::-1])), usd)
            for pool, forwards, usd in entries
        ],
        most_parts=48,
    )
    here = dict(book.sent)
    for swap in book.swaps:
        assert here.get(swap.token_in, 0) >= swap.amount_in
        here[swap.token_in] -= swap.amount_in
        here[swap.token_out] = here.get(swap.token_out, 0) + swap.amount_out
    assert {token: here.get(token, 0) - book.sent.get(token, 0) for token in book.change} == book.change
    assert all(amount <= book.balances[token] for token, amount in book.sent.items())


def test_a_token_that_should_only_pass_through_and_does_not_is_stranded():
    book = ledger(usdc=USDC.amount(1e5))
    carry_out(book, [trade(TO_WETH, USDC, WETH, 1000), trade(TO_LINK, WETH, LINK, 990)], most_parts=48)
    assert book.stranded == {LINK.address}  # no asset here, and nothing leads on
    home = ledger(usdc=USDC.amount(1e5), link=0)
    carry_out(home, [trade(TO_WETH, USDC, WETH, 1000), trade(TO_LINK, WETH, LINK, 990)], most_parts=48)
    assert not home.stranded
