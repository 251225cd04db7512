"""The result tables: one Arrow schema each. This is the only place where their columns are defined and explained.

Amounts are exact decimals: quantities in base units or contracts, prices in quote per base, money in the asset named or
the account currency. Times are UTC nanoseconds of the run's clock. Null = not known or not applicable, never 0.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

import pyarrow as pa

FORMAT: Final = 1
"""Raised when a column changes its meaning or goes away; new columns come at the end and do not raise it."""
DECIMALS: Final = 18
AMOUNT: Final = pa.decimal128(38, DECIMALS)
_QUANTUM: Final = Decimal(1).scaleb(-DECIMALS)
_CONTEXT: Final = Context(prec=38, rounding=ROUND_HALF_EVEN)
_TIME, _TEXT, _COUNT = pa.int64(), pa.string(), pa.int64()

Columns = tuple[tuple[str, Any, str], ...]
"""(name, Arrow type, meaning)."""

_LATENCY: Final[Columns] = (
    ("decided_ns", _TIME, "The strategy decided; null for orders that no strategy asked for."),
    ("sent_ns", _TIME, "Written to the venue connection."),
    ("arrived_ns", _TIME, "Reached the matching engine."),
)
_SLIPPAGE: Final[Columns] = (
    ("mid_at_decision", AMOUNT, "Middle of the touch that was known when the strategy decided."),
    ("mid_at_arrival", AMOUNT, "Middle of the venue's touch just before the order arrived."),
)
TABLES: Final[dict[str, Columns]] = {
    "orders": (
        ("client_order_id", _TEXT, "Our id, unique in the run."),
        ("intent_id", _TEXT, "The intent that it serves; the tag of a compiled strategy's order, null for 0."),
        ("strategy_id", _TEXT, "Who wanted it."),
        ("instrument_id", _TEXT, "Where."),
        (
            "role",
            _TEXT,
            "OrderRole: ENTRY, EXIT, PROTECTION, EMERGENCY_EXIT, REDUCE, LIQUIDATION; null: not told.",
        ),
        ("side", _TEXT, "BUY or SELL."),
        ("order_type", _TEXT, "OrderType."),
        ("time_in_force", _TEXT, "GTC, GTD, IOC or FOK."),
        ("post_only", pa.bool_(), "Must not take."),
        ("reduce_only", pa.bool_(), "Must not open or flip a position."),
        ("qty", AMOUNT, "Ordered."),
        ("price", AMOUNT, "Limit; null for market types."),
        ("stop_price", AMOUNT, "Trigger; null without one."),
        ("status", _TEXT, "OrderStatus at the end of the run."),
        ("reason", _TEXT, "Last reason given by riskd or the venue; empty without one."),
        ("check_id", _TEXT, "riskd's check that refused it; empty otherwise."),
        *_LATENCY,
        ("acknowledged_ns", _TIME, "execd heard that the venue took it."),
        ("ended_ns", _TIME, "execd heard of its end; null while it works."),
        ("filled_qty", AMOUNT, "Done."),
        ("avg_price", AMOUNT, "Volume-weighted price of its fills; null without any."),
        ("queue_ahead_at_arrival", AMOUNT, "Quantity resting before it at its price when it arrived; null if it took."),
        *_SLIPPAGE,
    ),
    "fills": (
        ("exec_id", _TEXT, "The venue's id, unique per instrument."),
        ("client_order_id", _TEXT, "The order."),
        ("strategy_id", _TEXT, "Whose."),
        ("instrument_id", _TEXT, "Where."),
        ("role", _TEXT, "Role of the order."),
        ("side", _TEXT, "BUY or SELL."),
        ("qty", AMOUNT, "Traded."),
        ("price", AMOUNT, "Price of this match."),
        ("liquidity", _TEXT, "MAKER or TAKER."),
        ("fee", AMOUNT, "Cost > 0, rebate < 0, in fee_asset."),
        ("fee_asset", _TEXT, "Asset of the fee."),
        *_LATENCY,
        ("matched_ns", _TIME, "The match at the venue."),
        ("heard_ns", _TIME, "execd heard of it."),
        ("queue_ahead_at_arrival", AMOUNT, "As in orders."),
        (
            "queue_ahead_at_fill",
            AMOUNT,
            "Left before the order when this fill came; 0 unless the market moved through it.",
        ),
        *_SLIPPAGE,
        ("slippage_decision_bps", pa.float64(), "Price paid against mid_at_decision; > 0 = worse for us."),
        ("slippage_arrival_bps", pa.float64(), "Price paid against mid_at_arrival; > 0 = worse for us."),
    ),
    "positions": (
        ("at_ns", _TIME, "When riskd booked the change."),
        ("strategy_id", _TEXT, "Whose."),
        ("instrument_id", _TEXT, "Where."),
        ("qty", AMOUNT, "Signed: > 0 long."),
        ("avg_price", AMOUNT, "Average entry price; null when flat."),
        ("realized_pnl", AMOUNT, "Closed result so far, before fees and funding, settlement asset (quote for spot)."),
        ("fees_paid", AMOUNT, "Fees so far, settlement asset."),
    ),
    "equity": (
        ("at_ns", _TIME, "A multiple of the chosen resolution (those in which nothing came are left out), or the end."),
        (
            "equity",
            AMOUNT,
            "Account currency, at riskd's conservative marks, or the mids a compiled strategy saw; null without.",
        ),
        ("realized_pnl", AMOUNT, "Closed result of all positions so far, before fees."),
        ("unrealized_pnl", AMOUNT, "Open result at the same marks; null while a mark is missing."),
        ("fees_paid", AMOUNT, "Fees so far."),
        ("funding_paid", AMOUNT, "Funding so far; paid > 0, received < 0."),
    ),
    "fees": (
        ("instrument_id", _TEXT, "Where."),
        ("liquidity", _TEXT, "MAKER or TAKER."),
        ("fee_asset", _TEXT, "Asset of the fees."),
        ("fills", _COUNT, "Number of fills."),
        ("notional", AMOUNT, "Sum of what was traded, quote asset."),
        ("fee", AMOUNT, "Sum of fees."),
    ),
    "funding": (
        ("at_ns", _TIME, "Time of the payment."),
        ("strategy_id", _TEXT, "Whose position."),
        ("instrument_id", _TEXT, "Where."),
        ("qty", AMOUNT, "Signed position at that time."),
        ("mark_price", AMOUNT, "The venue's mark price."),
        ("rate", AMOUNT, "Share of the notional; longs pay when > 0."),
        ("paid", AMOUNT, "Settlement asset; paid > 0, received < 0."),
        ("asset", _TEXT, "Settlement asset."),
    ),
}
"""Table -> columns in order."""


def schema(table: str) -> Any:
    """Return a table's Arrow schema."""
    return pa.schema([(name, kind) for name, kind, _ in TABLES[table]])


def amount(value: Decimal | None) -> Decimal | None:
    """Return a value as the tables hold it: rounded half even to DECIMALS, which no amount of a venue reaches."""
    return None if value is None else value.quantize(_QUANTUM, context=_CONTEXT)
