import pytest

from keeper.submit.order import Order, OrderBuy, OrderSell

PAIR = "0x" + "ab" * 20
ORDER = Order(
    nonce=7,
    deadline=1_760_000_000,
    epoch=3,
    sells=(OrderSell(index=0, amount=10**18, to=PAIR), OrderSell(index=2, amount=5)),
    buys=(OrderBuy(index=1, min_amount=9),),
    route=b"\x01\x02\x03",
)


def test_an_order_is_packed_field_by_field():
    assert ORDER.encode().hex() == (
        "0000000000000007"  # nonce, 8 bytes
        "0068e77800"  # deadline, 5 bytes
        "00000003"  # epoch, 4 bytes
        "02"  # sells
        "01"  # buys
        "00" + f"{10**18:032x}" + "ab" * 20 + "02" + f"{5:032x}" + "00" * 20 + "01" + f"{9:032x}" + "010203"
    )


def test_a_packed_order_reads_back():
    assert Order.decode(ORDER.encode()) == ORDER


@pytest.mark.parametrize("length", [0, 18, 19, 100])
def test_an_order_cut_short_is_refused(length):
    with pytest.raises(ValueError, match="bytes"):
        Order.decode(ORDER.encode()[:length])


def test_a_number_that_does_not_fit_its_field_is_refused():
    with pytest.raises(ValueError, match="128 bits"):
        Order(1, 1, 0, (OrderSell(0, 2**128),), (), b"").encode()


@pytest.mark.parametrize("indexes", [(1, 0), (1, 1)])
def test_indexes_that_do_not_ascend_are_refused(indexes):
    order = Order(1, 1, 0, (), tuple(OrderBuy(index, 1) for index in indexes), b"")
    with pytest.raises(ValueError, match="must ascend"):
        order.encode()


def test_a_recipient_that_is_no_address_is_refused():
    with pytest.raises(ValueError, match="no address"):
        Order(1, 1, 0, (OrderSell(0, 1, "0x1234"),), (), b"").encode()
