"""What a scenario's ledger adds up, by hand."""

from keeper.policy.bound import Bound
from keeper.policy.guard import Basket
from keeper.stress.report import print_results
from keeper.stress.result import Check, Event, Ledger, Result, deviation
from keeper.units import WAD

BOUND = Bound(loss_budget=WAD // 100, turnover_budget=WAD, window=1000)


def basket(*prices: int) -> Basket:
    """A hundred of each of two tokens; prices in whole dollars."""
    return Basket((100, 100), (0, 0), tuple(price * WAD for price in prices), (WAD // 2, WAD // 2))


def test_a_batch_is_measured_at_both_prices():
    ledger = Ledger()
    oracle, true = basket(10, 10), basket(10, 8)
    # Ten of the first for ten of the second: fair by the oracle, and 20 dollars of 1,800 lost in truth.
    ledger.batch(50, oracle, true, (90, 110), (2000 * WAD, 2000 * WAD))
    assert (ledger.trades, ledger.losses, ledger.loss) == (1, 0, 20 * WAD)
    assert ledger.shortfalls == -(-20 * WAD // 1800)
    assert ledger.turnover == 200 * WAD // 2000
    assert ledger.delta == WAD // 5


def test_a_gain_is_no_loss_of_another_batch():
    ledger = Ledger()
    same = basket(10, 10)
    ledger.batch(0, same, same, (90, 109), (2000 * WAD, 1990 * WAD))
    ledger.batch(10, same, same, (90, 112), (2000 * WAD, 2020 * WAD))
    assert ledger.losses == ledger.shortfalls == WAD // 200
    assert ledger.loss == -10 * WAD


def test_the_span_runs_from_the_first_batch_to_the_last():
    ledger = Ledger()
    same = basket(10, 10)
    for at in (500, 700, 1500):
        ledger.batch(at, same, same, (90, 110), (2000 * WAD, 2000 * WAD))
    losses, truly, turnover = ledger.checks(BOUND)
    assert losses.limit == BOUND.losses(1000) == 2 * WAD // 100
    assert (truly.limit, turnover.limit) == (losses.limit, 2 * WAD)
    assert all(check.held for check in (losses, truly, turnover))


def test_what_is_worth_more_than_twice_its_price_has_no_bound():
    ledger = Ledger()
    ledger.batch(0, basket(10, 10), basket(10, 21), (90, 110), (2000 * WAD, 2000 * WAD))
    _, truly, _ = ledger.checks(BOUND)
    assert truly.limit is None
    assert truly.held


def test_delta_is_rounded_up():
    assert deviation(basket(3, 3), basket(3, 4)) == WAD // 3 + 1


def test_the_same_refusal_with_other_numbers_is_told_once():
    ledger = Ledger()
    ledger.event(1, "oracle", "the price of WETH is 4,501 s old")
    ledger.event(2, "oracle", "the price of WETH is 4,513 s old")
    ledger.event(3, "oracle", "the price of WBTC is 4,513 s old")
    ledger.event(4, "vault", "the price of WETH is 4,513 s old")
    assert [(event.at, event.who) for event in ledger.events] == [(1, "oracle"), (3, "oracle"), (4, "vault")]


def test_one_broken_bound_breaks_the_result():
    def result(*checks: Check) -> Result:
        return Result("x", "chain", 1, 1000.0, 5.0, 0.0, 0.1, 0.0, 1, (), checks, 0.0)

    fine, broken = Check("a", 10, 10), Check("b", 10, 11)
    assert result(fine).held
    assert not result(fine, broken).held
    assert result(fine).loss_bp == 50
    assert [check["held"] for check in result(fine, broken).to_json()["checks"]] == [True, False]


def test_what_happened_is_told_below_the_table_of_those_to_whom_something_did(capsys):
    def result(name, *events):
        return Result(name, "simulation", 60, 1.0, 0.0, 0.0, 0.0, 0.0, 0, events, (), 0.0)

    print_results([result("calm"), result("storm", Event(3660, "vault", "reverted"))])
    told = capsys.readouterr().out
    assert told.count("calm") == 1
    assert told.endswith("storm\n  after 1 h 01 min the vault: reverted\n")
