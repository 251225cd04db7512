"""Trades and one-minute bars from market rows."""

from __future__ import annotations

from recorder.tables import OP_COLUMNS, Entry, Op, StoredBar
from recorder.tape import BAR_NS, Tape
from tests.support.builders import BTC, make_instrument
from tradebot.core.market import BUY_FLAG, LAST_FLAG, SELL_FLAG, MarketRow, RowColumns, RowKind

MINUTE = 1_700_000_000 * 1_000_000_000 // BAR_NS * BAR_NS


def trade(id_: int, ticks: int = 6_000_000, lots: int = 100, *, at: int = 0, side: int = BUY_FLAG) -> MarketRow:
    time_ns = MINUTE + at
    return MarketRow(RowKind.TRADE, 0, side | LAST_FLAG, ticks, lots, id_, time_ns, time_ns + 5)


def columns(*rows: MarketRow) -> RowColumns:
    packed = RowColumns()
    packed.extend(rows)
    return packed


def make_tape(*stored: StoredBar) -> Tape:
    tape = Tape(stored)
    tape.set_instruments([(0, make_instrument())])
    return tape


def bars(entries: list[Entry]) -> list[dict[str, object]]:
    names = OP_COLUMNS[Op.BAR]
    return [dict(zip(names, entry.row, strict=True)) for entry in entries if entry.op is Op.BAR]


def test_a_trade_row_is_exact_in_price_and_quantity() -> None:
    entries = make_tape().apply(columns(trade(7, 6_183_763, 326_140, at=3, side=SELL_FLAG)))

    assert entries[0].row == (MINUTE + 3, BTC, "61837.63", "3.2614", "SELL", 7, MINUTE + 8)


def test_a_bar_is_cut_on_event_time() -> None:
    tape = make_tape()
    entries = tape.apply(
        columns(
            trade(1, 100, 1),
            trade(2, 300, 2, at=1),
            trade(3, 200, 3, at=BAR_NS - 1),
            trade(4, 250, 4, at=BAR_NS),
        )
    )
    first, second = bars(entries)

    assert (first["o"], first["h"], first["l"], first["c"]) == ("1", "3", "1", "2")
    assert (first["v"], first["trade_count"], first["ts"]) == ("0.00006", 3, MINUTE)
    assert (second["ts"], second["o"]) == (MINUTE + BAR_NS, "2.5")


def test_a_trade_that_a_resumed_stream_repeats_is_counted_once() -> None:
    tape = make_tape()
    tape.apply(columns(trade(1), trade(2)))
    entries = tape.apply(columns(trade(2), trade(3)))

    assert [entry.row[5] for entry in entries if entry.op is Op.TRADE] == [3]
    assert bars(entries)[-1]["trade_count"] == 3
    assert tape.repeated_trades == 1


def test_only_a_minute_followed_from_its_start_is_complete() -> None:
    tape = make_tape()
    first, *_ = bars(tape.apply(columns(trade(1, at=BAR_NS // 2))))
    second = bars(tape.apply(columns(trade(2, at=BAR_NS))))[-1]

    assert first["complete"] == 0
    assert second["complete"] == 1


def test_a_broken_stream_leaves_its_open_bar_incomplete() -> None:
    tape = make_tape()
    tape.apply(columns(trade(1), trade(2, at=BAR_NS)))
    tape.break_off()
    broken = bars(tape.apply(columns(trade(9, at=BAR_NS + 1))))[-1]
    following = bars(tape.apply(columns(trade(10, at=2 * BAR_NS))))[-1]

    assert broken["complete"] == 0
    assert following["complete"] == 1


def test_after_a_restart_the_open_bar_goes_on_where_the_database_stopped() -> None:
    stored = StoredBar(BTC, MINUTE, "1", "3", "1", "2", "0.00006", 3, True, 3)
    tape = make_tape(stored)
    tape.resume()
    bar = bars(tape.apply(columns(trade(3), trade(4, 500, 4, at=BAR_NS - 1))))[-1]

    assert (bar["o"], bar["h"], bar["l"], bar["c"], bar["v"]) == ("1", "5", "1", "5", "0.0001")
    assert (bar["trade_count"], bar["complete"]) == (4, 1)


def test_after_a_restart_without_resuming_the_open_bar_has_a_hole() -> None:
    stored = StoredBar(BTC, MINUTE, "1", "3", "1", "2", "0.00006", 3, True, 3)
    tape = make_tape(stored)
    tape.break_off()

    assert bars(tape.apply(columns(trade(9, at=BAR_NS - 1))))[-1]["complete"] == 0


def test_a_trade_stamped_late_stays_in_the_bar_that_is_open() -> None:
    tape = make_tape()
    entries = tape.apply(columns(trade(1, at=BAR_NS), trade(2, at=BAR_NS - 1)))

    assert [bar["trade_count"] for bar in bars(entries)] == [2]


def test_funding_and_open_interest_are_written_with_their_units() -> None:
    next_ns = MINUTE + 8 * 3_600 * 10**9
    later_ns = next_ns + 8 * 3_600 * 10**9
    rows = columns(
        MarketRow(RowKind.FUNDING_RATE, 0, LAST_FLAG, 10_000, next_ns, 0, MINUTE, MINUTE),
        MarketRow(RowKind.FUNDING_RATE, 0, LAST_FLAG, -5, later_ns, 0, next_ns, next_ns),
        MarketRow(RowKind.OPEN_INTEREST, 0, LAST_FLAG, 0, 250_000, 0, MINUTE, MINUTE),
    )
    first, second, interest = make_tape().apply(rows)

    assert first.row == (MINUTE, BTC, "0.0001", None, next_ns)
    assert second.row == (next_ns, BTC, "-0.00000005", 8 * 3_600 * 10**9, later_ns)
    assert interest.row == (MINUTE, BTC, "2.5")
