"""A market with a mark price and a funding, a strategy that holds over it, and the same money computed slowly.

`SlowLedger` knows nothing of the system: fractions, one fill after the other, from the fills that a run reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from backtest.config import BacktestOptions
from backtest.report import BacktestResult
from backtest.results.files import open_results
from backtest.run import run_backtest

S: Final = 1_000_000_000
MS: Final = 1_000_000
T0: Final = 1_760_000_000 * S
FUNDING_S: Final = 20
HEADER: Final = "exchange_time_ns,local_time_ns,instrument,kind,side,price,qty,id,clocks"
GRAIN: Final = 10**8

STRATEGY: Final = '''
"""Enters once, holds over a funding, leaves."""
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from engine.strategy import Params, Proposal, Strategy, leave, strategy
from tradebot.core.orders import OrderRole, Side


class HoldParams(Params):
    side: str = "SELL"
    qty: Decimal = Decimal("0.01")
    enter_s: Annotated[int, Field(ge=0)] = 5
    leave_s: Annotated[int, Field(ge=0)] = 30
    again_s: Annotated[int, Field(ge=0)] = 10_000


@strategy("hold")
class Hold(Strategy):
    params: HoldParams

    def start(self):
        self.first_ns, self.at_ns = 0, 1

    def next_timer_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = (now_ns // 1_000_000_000 + 1) * 1_000_000_000
        market = self.markets[0]
        if not market.live:
            return None
        self.first_ns = self.first_ns or now_ns
        age_s = (now_ns - self.first_ns) / 1e9
        held = self.holding(market)
        if age_s >= self.params.leave_s:
            return None if held.is_flat else leave(held, "time_is_up")
        if age_s < self.params.enter_s or not held.is_flat:
            return None
        self.params = self.params.model_copy(update={"enter_s": self.params.again_s, "again_s": 10**9})
        side = Side[self.params.side]
        return Proposal(side, OrderRole.ENTRY, "hold", qty=self.params.qty, market=market)
'''


@dataclass
class Contract:
    """An instrument of the tests."""

    inverse: bool = False
    multiplier: str = "1"
    tick: str = "0.1"
    lot: str = "0.001"
    leverage: str = "5"
    maintenance_bps: str = "50"
    liquidation_fee_bps: str = "0"

    @property
    def instrument_id(self) -> str:
        return "binance:BTC-USD-SWAP" if self.inverse else "binance:BTC-USDT-SWAP"

    @property
    def settle(self) -> str:
        return "BTC" if self.inverse else "USDT"

    def yaml(self) -> str:
        quote = "USD" if self.inverse else "USDT"
        return (
            f"{{base: BTC, quote: {quote}, contract: {'inverse' if self.inverse else 'linear'}, "
            f'multiplier: "{self.multiplier}", tick_size: "{self.tick}", lot_size: "{self.lot}", '
            f'leverage: "{self.leverage}", maintenance_bps: "{self.maintenance_bps}", '
            f'liquidation_fee_bps: "{self.liquidation_fee_bps}"}}'
        )


@dataclass
class Tape:
    """A book that moves in parallel, and what the venue says of mark and funding."""

    bid: str = "60000.0"
    rate: str = "0.00010000"
    mark: str = "60001.23456789"
    seconds: int = 40
    moves: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Second -> (best bid, mark price) from then on."""
    has_mark: bool = True

    def write(self, path: Path, tick: str = "0.1") -> Path:
        """Write it as our CSV: levels of 5 contracts or base units, ten either side."""
        lines, bid, mark, step = [HEADER], Decimal(self.bid), self.mark, Decimal(tick)

        def say(at_ns: int, kind: str, side: str, price: object, qty: object) -> None:
            lines.append(f"{at_ns},{at_ns + 2 * MS},PERP,{kind},{side},{price},{qty},0,both")

        for second in range(self.seconds + 1):
            at_ns = T0 + second * S
            if second in self.moves:
                new_bid, mark = self.moves[second]
                bid = Decimal(new_bid)
            say(at_ns, "clear", "buy", 0, 0)
            say(at_ns, "clear", "sell", 0, 0)
            for depth in range(10):
                say(at_ns, "snapshot", "buy", bid - depth * step, 50)
                say(at_ns, "snapshot", "sell", bid + (depth + 1) * step, 50)
            say(at_ns, "trade", "buy", bid + step, 1)
            if self.has_mark:
                say(at_ns, "mark_price", "", mark, 0)
            due = T0 + FUNDING_S * S
            if at_ns < due:
                say(at_ns, "funding_rate", "", self.rate, due)
        path.write_text("\n".join(lines) + "\n")
        return path


@dataclass
class Run:
    """What came out."""

    result: BacktestResult
    log: bytes
    tables: Any


def play(
    folder: Path,
    tape: Tape,
    contract: Contract,
    *,
    in_process: bool = True,
    balances: str = '{USDT: "10000"}',
    limits: str = "",
    strategy: str = STRATEGY,
    kind: str = "hold",
    **params: object,
) -> Run:
    """Run the holding strategy on a tape."""
    folder.mkdir(parents=True, exist_ok=True)
    data = tape.write(folder / "tape.csv", contract.tick)
    (folder / "own.py").write_text(strategy)
    config = folder / "config.yaml"
    config.write_text(
        f"mode: backtest\nbacktest:\n  balances: {balances}\n  maker_fee_bps: 2\n  taker_fee_bps: 5\n"
        f"  unprotected_s: 1e6\n  perpetuals: {{PERP: {contract.yaml()}}}\n"
        + (f"  limits: {limits}\n" if limits else "")
    )
    options = BacktestOptions(
        kind,
        data=data,
        config=config,
        strategy_path=(str(folder / "own.py"),),
        params={"stop_loss_fraction": None, **params},
        events=folder / "events.jsonl",
        out=folder / "tables",
        in_process=in_process,
    )
    result = run_backtest(options)
    return Run(result, (folder / "events.jsonl").read_bytes(), open_results(folder / "tables"))


@dataclass
class SlowLedger:
    """One position and its wallet, in fractions."""

    contract: Contract
    wallet: Fraction
    qty: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    """Linear: quote paid for the position. Inverse: coins that it is worth at its entry prices."""
    realized: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    funding: Fraction = Fraction(0)

    def value(self, qty: Fraction, price: Fraction) -> Fraction:
        size = qty * Fraction(self.contract.multiplier)
        return size / price if self.contract.inverse else size * price

    def fill(self, side: str, qty: Fraction, price: Fraction, fee: Fraction) -> None:
        signed = qty if side == "BUY" else -qty
        closing = min(qty, abs(self.qty)) if self.qty * signed < 0 else Fraction(0)
        if closing:
            share = self.cost * closing / abs(self.qty)
            moved = self.value(closing, price) * (1 if self.qty > 0 else -1)
            gain = share - moved if self.contract.inverse else moved - share
            self.realized += gain
            self.wallet += gain
            self.cost -= share
        self.cost += self.value(qty - closing, price) * (1 if signed > 0 else -1)
        self.qty += signed
        self.fees += fee
        self.wallet -= fee

    def fund(self, rate: Fraction, mark: Fraction) -> Fraction:
        """Charge a funding; return what was received."""
        received = -self.value(self.qty, mark) * rate
        received = Fraction((received * GRAIN).__floor__(), GRAIN)
        self.funding += received
        self.wallet += received
        return received

    def unrealized(self, price: Fraction) -> Fraction:
        worth = self.value(self.qty, price)
        return self.cost - worth if self.contract.inverse else worth - self.cost


def fills_of(run: Run) -> list[dict[str, Any]]:
    """Return the fills in the order of the match."""
    table = run.tables.table("fills")
    rows: list[dict[str, Any]] = table.take(pc.sort_indices(table, [("heard_ns", "ascending")])).to_pylist()
    return rows


def limits_file(folder: Path, project_root: Path, currency: str = "USDT") -> str:
    """Return a limits file that lets an account use its whole leverage."""
    text = (project_root / "config" / "limits" / "bench.yaml").read_text()
    wide = text.replace(
        "max_pct_of_equity: 50, max_notional: 1000000000}", "max_pct_of_equity: 9000, max_notional: 1000000000}"
    )
    assert wide != text
    path = folder / "limits.yaml"
    path.write_text(wide.replace("currency: USDT", f"currency: {currency}"))
    return str(path)


def booked(run: Run, contract: Contract, wallet: str, rate: str, mark: str) -> SlowLedger:
    """Return the slow ledger of a run with one funding between its first two fills."""
    slow = SlowLedger(contract, Fraction(wallet))
    for number, one in enumerate(fills_of(run)):
        if number == 1:
            slow.fund(Fraction(rate), Fraction(mark))
        slow.fill(one["side"], Fraction(one["qty"]), Fraction(one["price"]), Fraction(one["fee"]))
    return slow
