"""What the venue remembers comes back as it was, and a line that is not what was written is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simexchange.account_file import FILE_NAME, AccountFile
from simexchange.kept import DamagedError, Head, VenueFacts, head_of, read_facts, to_line
from tests.simexchange.kit import PureExchange
from tradebot.runtime.state_dir import StateError


class Remembered:
    """A venue and every line that it kept."""

    def __init__(self) -> None:
        self.one = PureExchange()
        self.head = head_of(self.one.venue.engine.accounts, self.one.venue.symbols)
        self.lines = [to_line(self.head), to_line(self.one.venue.facts())]
        self.one.venue.on_change = lambda change: self.lines.append(to_line(change))

    def trade(self) -> None:
        """Buy, rest below, rest above with a stop, wait with a stop, and cancel one."""
        one = self.one
        one.place(side="BUY", type="MARKET", quantity="0.03")
        one.limit("BUY", one.price(0.99), newClientOrderId="rests")
        one.limit("BUY", one.price(0.98), newClientOrderId="goes")
        oco: dict[str, Any] = {"aboveType": "LIMIT_MAKER", "abovePrice": one.price(1.01), "belowType": "STOP_LOSS"}
        one.ws(
            "orderList.place.oco",
            **{**oco, "symbol": "BTCUSDT", "side": "SELL", "quantity": "0.01", "belowStopPrice": one.price(0.97)},
        )
        one.place(
            side="SELL", type="STOP_LOSS", quantity="0.01", stopPrice=one.price(0.995), newClientOrderId="protects"
        )
        one.ws("order.cancel", symbol="BTCUSDT", origClientOrderId="goes")

    def again(self) -> PureExchange:
        """Return a venue that goes on from the lines, in the next process."""
        facts = read_facts(self.lines, self.head)
        assert facts is not None
        return PureExchange(past=facts, now_ns=self.one.now_ns)


def account(one: PureExchange) -> dict[str, Any]:
    """Return everything a client can ask about its account."""
    names = ("openOrders", "allOrders", "myTrades", "openOrderLists", "allOrderList")
    params: dict[str, dict[str, Any]] = {"allOrders": {"symbol": "BTCUSDT"}, "myTrades": {"symbol": "BTCUSDT"}}
    found = {name: one.ws(f"{method(name)}", **params.get(name, {}))["result"] for name in names}
    return {**found, "balances": one.ws("account.status")["result"]["balances"]}


def method(name: str) -> str:
    """Return the request API's name of a question."""
    return {
        "openOrders": "openOrders.status",
        "openOrderLists": "openOrderLists.status",
        "allOrderList": "allOrderLists",
    }.get(name, name)


def test_the_account_is_the_same_in_the_next_process() -> None:
    before = Remembered()
    before.trade()
    after = before.again()

    known = account(before.one)
    assert account(after) == known
    assert len(known["openOrders"]) == 4
    assert len(known["allOrderList"]) == 1
    assert known["myTrades"]


def test_lines_of_changes_add_up_to_the_whole() -> None:
    before = Remembered()
    before.trade()
    before.one.advance(20)
    facts = read_facts(before.lines, before.head)
    whole = before.one.venue.facts()

    assert facts is not None
    for name in ("next_order_id", "next_exec_id", "next_list_id", "balances", "lists"):
        assert getattr(facts.engine, name) == getattr(whole.engine, name), name
    assert to_line(VenueFacts(facts.engine, facts.trades)).count(b"client_order_id") == len(whole.engine.orders)
    assert facts.trades == whole.trades


def test_the_market_goes_on_at_its_last_price_with_trade_ids_that_were_never_used() -> None:
    before = Remembered()
    before.one.advance(30)
    before.lines.append(to_line(before.one.venue.standing()))
    market = before.one.venue.engine.markets[0]
    after = before.again()

    assert abs(after.venue.touch(0).bid - market.last_price) <= 1
    assert after.venue.engine.markets[0].next_trade_id >= market.next_trade_id
    klines = after.get("/api/v3/klines", symbol="BTCUSDT", interval="1s", limit=5)
    assert float(klines[-1][4]) == market.last_price / 100


def test_what_rested_fills_in_the_next_process_and_new_ids_go_on() -> None:
    before = Remembered()
    before.trade()
    after = before.again()
    after.venue.feed.shock(0, -80)
    after.advance(5)

    protects = after.ws("order.status", symbol="BTCUSDT", origClientOrderId="protects")["result"]
    assert protects["status"] == "FILLED"
    last = max(order["orderId"] for order in account(after)["allOrders"])
    assert after.limit("BUY", after.price(0.9))["result"]["orderId"] == last + 1
    trades = [trade["id"] for trade in account(after)["myTrades"]]
    assert len(trades) == len(set(trades))
    after.venue.engine.assert_consistent()


def test_a_canceled_leg_of_a_kept_list_ends_the_other_and_frees_their_funds() -> None:
    before = Remembered()
    before.trade()
    after = before.again()
    for order in account(after)["openOrders"]:
        after.ws("order.cancel", symbol="BTCUSDT", orderId=order["orderId"])

    assert account(after)["openOrders"] == []
    assert account(after)["openOrderLists"] == []
    assert all(float(one["locked"]) == 0 for one in account(after)["balances"])


def test_a_transfer_is_kept() -> None:
    before = Remembered()
    before.one.venue.transfer("main", "USDT", 10**18, before.one.now_ns, silent=True)

    assert account(before.again()) == account(before.one)


def test_a_line_without_its_end_is_left_out() -> None:
    before = Remembered()
    before.trade()
    known = read_facts(before.lines[:-1], before.head)
    cut = read_facts([*before.lines[:-1], before.lines[-1][:-9]], before.head)

    assert known is not None
    assert cut is not None
    assert to_line(cut) == to_line(known)


@pytest.mark.parametrize(
    ("number", "old", "new", "words"),
    [
        (1, b"USDT", b"USDC", "line 2 is damaged"),
        (2, b"{", b"[", "line 3 is damaged"),
        (0, b"BTC", b"ETC", "line 1 is damaged"),
    ],
)
def test_a_changed_line_is_named(number: int, old: bytes, new: bytes, words: str) -> None:
    before = Remembered()
    before.trade()
    before.lines[1] = to_line(before.one.venue.facts())
    before.lines[number] = before.lines[number].replace(old, new, 1)

    with pytest.raises(DamagedError, match=words):
        read_facts(before.lines, before.head)


def test_other_markets_and_other_versions_are_refused() -> None:
    before = Remembered()
    for head, words in (
        (Head(before.head.accounts, ("binance:DOGE-USDT tick 1 lot 1",)), "configured are binance:DOGE-USDT"),
        (Head(before.head.accounts, before.head.markets, version=2), "version 1"),
    ):
        with pytest.raises(DamagedError, match=words):
            read_facts(before.lines, head)


def open_file(folder: Path, one: PureExchange) -> AccountFile:
    """Return the file of a venue."""
    return AccountFile(folder, head_of(one.venue.engine.accounts, one.venue.symbols), one.venue.facts)


def test_a_fresh_folder_has_no_past_and_a_used_one_has_it_after_a_kill(tmp_path: Path) -> None:
    one = PureExchange()
    file = open_file(tmp_path, one)
    assert file.read() is None
    file.rewrite()
    one.venue.on_change = file.add
    one.place(side="BUY", type="MARKET", quantity="0.01")
    kept = (tmp_path / FILE_NAME).read_bytes()
    file.close()
    (tmp_path / FILE_NAME).write_bytes(kept + b"12345678 {half a li")
    again = open_file(tmp_path, one)
    facts = again.read()
    again.close()

    assert facts is not None
    assert len(facts.trades) == len(one.venue.facts().trades) > 0


def test_a_damaged_file_is_named_with_the_fix(tmp_path: Path) -> None:
    one = PureExchange()
    file = open_file(tmp_path, one)
    (tmp_path / FILE_NAME).write_bytes(b"nonsense\n")
    with pytest.raises(StateError, match="line 1 is damaged: put back what it was, or start on a new state") as caught:
        file.read()
    file.close()

    assert str(tmp_path / FILE_NAME) in str(caught.value)


def test_the_file_is_rewritten_before_it_grows_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simexchange.account_file.MIN_REWRITE_BYTES", 1_000)
    one = PureExchange()
    file = open_file(tmp_path, one)
    file.rewrite()
    for _ in range(200):
        file.add(one.venue.standing())
    file.close()

    assert file.path.stat().st_size < 4_000
