"""Published worked examples, to the last printed digit. Pages read on 2026-11-21; figures only, in our own words."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest

from tradebot.core.pnl import SPOT, UNIT, Contract, Inventory

USD_CONTRACT = Contract(UNIT, True)
"""BTCUSD at Bybit, XBTUSD at BitMEX: one contract is one dollar, paid in coin."""


def units(value: str) -> int:
    return int(Decimal(value) * UNIT)


def buy(held: Inventory, contract: Contract, qty: str, price: str) -> int:
    return held.apply(units(qty), contract.flow(units(qty), units(price)))


def sell(held: Inventory, contract: Contract, qty: str, price: str) -> int:
    return held.apply(-units(qty), contract.flow(-units(qty), units(price)))


def shown(value: int, digits: int) -> str:
    """Return a value as a page prints it, rounded half up."""
    step = Decimal(1).scaleb(-digits)
    return str((Decimal(value) / UNIT).quantize(step, rounding=ROUND_HALF_UP))


def test_bybit_inverse_average_entry_price() -> None:
    """Bybit help centre, "Profit & Loss calculations (Inverse Contracts)", 1: 5,625.00."""
    held = Inventory()
    buy(held, USD_CONTRACT, "1000", "5000")
    buy(held, USD_CONTRACT, "2000", "6000")

    assert shown(held.entry_flow, 8) == "0.53333333"
    assert shown(USD_CONTRACT.average_price(held.qty, held.entry_flow), 2) == "5625.00"


@pytest.mark.parametrize(("side", "mark", "coin"), [(1, "5500", "0.01818"), (-1, "4500", "0.02222")])
def test_bybit_inverse_open_result(side: int, mark: str, coin: str) -> None:
    """The same page, 2: 1,000 contracts from 5,000; it prints 0.01819 and 0.02223, rounding each step up."""
    held = Inventory()
    held.apply(side * units("1000"), USD_CONTRACT.flow(side * units("1000"), units("5000")))
    result = held.unrealized(USD_CONTRACT, units(mark))

    assert shown(result, 5) == coin
    assert units("0.01819" if side > 0 else "0.02223") - result < UNIT // 100_000


def test_bybit_linear_average_entry_price() -> None:
    """Bybit help centre, "P&L calculations (USDT Contract)", 1: 0.5 at 5,000 and 0.3 at 6,000 make 5,375."""
    held = Inventory()
    buy(held, SPOT, "0.5", "5000")
    buy(held, SPOT, "0.3", "6000")

    assert SPOT.average_price(held.qty, held.entry_flow) == units("5375")


def test_bybit_linear_open_results() -> None:
    """The same page, 2: 0.2 long from 7,000 at 7,500 is +100; 0.4 short from 6,000 at 5,000 is +400."""
    long, short = Inventory(), Inventory()
    buy(long, SPOT, "0.2", "7000")
    sell(short, SPOT, "0.4", "6000")

    assert long.unrealized(SPOT, units("7500")) == units("100")
    assert short.unrealized(SPOT, units("5000")) == units("400")


def test_bybit_usdc_average_entry_price_and_results() -> None:
    """Bybit help centre, USDC contracts: 0.5 at 50,000 and 0.8 at 51,000 make 50,615.38; +1,800 and -200."""
    held, long, short = Inventory(), Inventory(), Inventory()
    buy(held, SPOT, "0.5", "50000")
    buy(held, SPOT, "0.8", "51000")
    buy(long, SPOT, "0.6", "55000")
    sell(short, SPOT, "0.2", "53000")

    assert shown(SPOT.average_price(held.qty, held.entry_flow), 2) == "50615.38"
    assert long.unrealized(SPOT, units("58000")) == units("1800")
    assert short.unrealized(SPOT, units("54000")) == units("-200")


@pytest.mark.parametrize(
    ("contracts", "entry", "exit_price", "coin"),
    [
        ("16000", "16000", "8000", "-1.000"),
        ("60000", "600", "700", "14.286"),
        ("60000", "600", "500", "-20.000"),
        ("-16000", "10000", "8000", "0.400"),  # the page writes the hedge with the signs the other way round
        ("-16000", "8000", "5000", "1.200"),
    ],
)
def test_inverse_teaching_examples(contracts: str, entry: str, exit_price: str, coin: str) -> None:
    """romanornr, "Trading bitcoin inverse futures contracts" (BitMEX XBTUSD, 1 USD a contract)."""
    held, qty = Inventory(), units(contracts)
    held.apply(qty, USD_CONTRACT.flow(qty, units(entry)))

    assert shown(held.apply(-qty, USD_CONTRACT.flow(-qty, units(exit_price))), 3) == coin


def test_a_bitmex_round_trip_with_rebates_and_funding_in_satoshi() -> None:
    """A trader's XBTUSD ledger of 10 November 2017: 885 contracts from 7,299 to 6,635.5 lose 1,212,403 satoshi."""
    held = Inventory()
    buy(held, USD_CONTRACT, "885", "7299")
    realized = sell(held, USD_CONTRACT, "885", "6635.5")

    assert shown(realized, 8) == "-0.01212403"
    rebates, funding = 3334, 783 - 709
    assert shown(realized + (rebates + funding) * UNIT // 10**8, 8) == "-0.01208995"


@pytest.mark.parametrize(("side", "exit_price", "coin"), [(1, "55000", "0.018182"), (-1, "45000", "0.022222")])
def test_binance_coin_margined_examples(side: int, exit_price: str, coin: str) -> None:
    """A Binance white label's help page: 10,000 USD from 50,000 make 0.018182 and (printed 0.022) coin."""
    hundred = Contract(100 * UNIT, True)
    held, qty = Inventory(), side * units("100")
    held.apply(qty, hundred.flow(qty, units("50000")))

    assert shown(held.apply(-qty, hundred.flow(-qty, units(exit_price))), 6) == coin


def test_the_uk_share_pool_takes_the_sold_share_of_the_cost() -> None:
    """HMRC Capital Gains Manual CG51624: 10,000 shares for 100,000; 5,000 sold for 60,000 leave a pool of 50,000."""
    held = Inventory()
    held.apply(units("10000"), -units("100000"))
    gain = held.apply(-units("5000"), units("60000"))

    assert gain == units("10000")  # proceeds less cost, before the 4,000 of selling costs that the manual deducts
    assert held.entry_flow == -units("50000")


def test_the_uk_share_pool_sells_a_third_of_a_pool_with_two_purchases() -> None:
    """HMRC Capital Gains Manual CG51895: 1,000 for 4,300 and 200 for 700; the practical way by number of shares."""
    held = Inventory()
    held.apply(units("1000"), -units("4300"))
    held.apply(units("200"), -units("700"))
    held.apply(-units("400"), units("1640"))

    assert shown(-held.entry_flow, 0) == "3333"
    assert shown(held.realized, 2) == "-26.67"
