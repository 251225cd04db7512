"""Views as lines for people, at most 100 columns. Pure: what is not known is shown as `?`, never as zero."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from cli import views
from cli.levels import level_text
from cli.output import clip, table, wrap
from cli.stopping import readiness

NS_PER_S: Final = 1_000_000_000
ID_CHARS: Final = 8
SHORT_ROLES: Final = {"PROTECTION": "PROTECT", "EMERGENCY_EXIT": "EMERG"}
QUIET_REASONS: Final = frozenset({"DERIVED"})
"""Reasons that explain nothing unusual: a stop derived from its grant."""
UNKNOWN: Final = "?"
SHOWN_CHECK_OUTCOMES: Final = {
    "PASS": "pass",
    "BLOCK": "BLOCK",
    "SOFT": "soft",
    "SKIPPED": "skipped",
    "NOT_APPLICABLE": "n/a",
}


def clock(time_ns: int) -> str:
    """Return UTC time of day with milliseconds; a dash for 0."""
    if not time_ns:
        return "-"
    whole, rest = divmod(time_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(whole, UTC):%H:%M:%S}.{rest // 1_000_000:03d}"


def moment(time_ns: int) -> str:
    """Return UTC date and time."""
    return f"{datetime.fromtimestamp(time_ns // NS_PER_S, UTC):%Y-%m-%d} {clock(time_ns)}Z" if time_ns else "-"


def amount(text: str, decimals: int = 2) -> str:
    """Return a decimal string with thin groups and a fixed number of decimals; `?` when empty."""
    try:
        return f"{Decimal(text):,.{decimals}f}".replace(",", " ")
    except InvalidOperation:
        return UNKNOWN


def signed(text: str, decimals: int = 2) -> str:
    """Return an amount with its sign."""
    shown = amount(text, decimals)
    return shown if shown == UNKNOWN or shown.startswith("-") else f"+{shown}"


def plain(text: str) -> str:
    """Return a decimal string without trailing zeros; a dash when empty."""
    if not text:
        return "-"
    if "." in text and "e" not in text.lower():
        return text.rstrip("0").rstrip(".")
    return text


def short_id(text: str) -> str:
    """Return the end of an id: the beginning of ours is the same for all orders of a strategy."""
    return text if len(text) <= ID_CHARS else text[-ID_CHARS:]


def duration(seconds: int) -> str:
    """Return a duration as people say it."""
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


def instrument(text: str) -> str:
    """Return an instrument without its venue when it has one."""
    return text.partition(":")[2] or text


def status_lines(view: views.StatusView) -> list[str]:
    """One screen: level, can I stop it, money, daemons, books, strategies, holds."""
    level = level_text(view.system_level, view.holds)
    lines = [
        f"{view.mode.upper()}  {level}{_latch(view)}   {readiness(view.stop)}   state {view.state_dir}",
        _money_line(view),
        "",
        *daemon_lines(view.daemons),
    ]
    if view.books:
        lines += ["", *book_lines(view.books)]
    if view.strategies:
        lines += ["", *strategy_lines(view.strategies)]
    if view.holds:
        lines += ["", *hold_lines(view.holds)]
    lines += [f"kill {text}" for text in view.kills]
    return [clip(line, 100) for line in lines]


def _latch(view: views.StatusView) -> str:
    return f" (latch {view.latch})" if view.latch else ""


def _money_line(view: views.StatusView) -> str:
    counts = (
        f"positions {_count(view.open_positions)}   working {_count(view.working_orders)}   "
        f"unknown {_count(view.unknown_orders)}"
    )
    if view.pnl is None:
        return f"money ?   {counts}"
    pnl = view.pnl
    mark = "~" if pnl.stale_inputs else ""
    return (
        f"equity {mark}{amount(pnl.equity)} {pnl.currency}   day {mark}{signed(pnl.day_pnl)} "
        f"({pnl.day_pnl_pct:+.2f} %, limit {pnl.day_limit_pct:g} %)   {counts}"
    )


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def daemon_lines(daemons: Sequence[views.DaemonView]) -> list[str]:
    """Daemons with their state and what they say."""
    rows = [
        [d.daemon, d.state, duration(d.uptime_s) if d.version else "-", d.version or "-", _daemon_note(d)]
        for d in daemons
    ]
    return table(["DAEMON", "STATE", "UP", "VERSION", "NOTE"], rows)


def _daemon_note(daemon: views.DaemonView) -> str:
    if daemon.summary:
        return daemon.summary
    links = [f"{link.venue} {link.channel} {link.state}" for link in daemon.venue_links]
    figures = [f"{item.name}={item.value}" for item in daemon.items[:3]]
    return ", ".join([*links, *figures])


def book_lines(books: Sequence[views.BookView]) -> list[str]:
    """Books with best bid and ask."""
    rows = [
        [
            instrument(book.instrument_id),
            book.state,
            plain(book.bid_price),
            plain(book.ask_price),
            plain(book.last_price),
            f"{book.age_ms / 1000:.1f}s",
            str(book.gaps),
        ]
        for book in books
    ]
    return table(["BOOK", "STATE", "BID", "ASK", "LAST", "AGE", "GAPS"], rows, frozenset({2, 3, 4, 5, 6}))


def strategy_lines(strategies: Sequence[views.StrategyView]) -> list[str]:
    """Strategies with what they have done."""
    rows = [
        [
            item.strategy_id,
            item.kind,
            ("on" if item.enabled else "OFF") + (" (warming up)" if item.warming_up else ""),
            ",".join(instrument(name) for name in item.instrument_ids),
            str(item.bars),
            str(item.signals),
            str(item.intents),
            str(item.refusals),
        ]
        for item in strategies
    ]
    headers = ["STRATEGY", "KIND", "STATE", "INSTRUMENTS", "BARS", "SIGNALS", "INTENTS", "REFUSED"]
    return table(headers, rows, frozenset({4, 5, 6, 7}))


def hold_lines(holds: Sequence[views.HoldView]) -> list[str]:
    """Holds with how to clear them."""
    if not holds:
        return ["no holds"]
    rows = [
        [hold.hold_id, hold.level, hold.scope, hold.cause, hold.raised_by, clock(hold.raised_time_ns), hold.release]
        for hold in holds
    ]
    lines = table(["HOLD", "LEVEL", "SCOPE", "CAUSE", "BY", "SINCE", "RELEASE"], rows)
    for hold in holds:
        if hold.evidence:
            lines += wrap(f"  {short_id(hold.hold_id)}: ", hold.evidence)
    return lines


def holds_view_lines(view: views.HoldsView) -> list[str]:
    """Level first, then why."""
    return [f"{level_text(view.system_level, view.holds)}   epoch {view.epoch}", *hold_lines(view.holds)]


def resume_lines(view: views.ResumeView) -> list[str]:
    """What was cleared and what remains."""
    lines = [f"cleared {hold.hold_id} ({hold.level}, {hold.cause})" for hold in view.cleared]
    if view.reason:
        lines.append(f"not cleared: {view.reason}: {view.detail}")
    lines.append(f"level {view.system_level}")
    return [*lines, *(hold_lines(view.remaining) if view.remaining else [])]


def limits_lines(view: views.SetLimitsView) -> list[str]:
    """Every value that changes, then what came of it."""
    lines = [
        f"{change.direction.lower():9} {change.path}: {change.before or '-'} -> {change.after or '-'}"
        + (f" (x{change.ratio})" if change.ratio else "")
        for change in view.changes
    ]
    return [
        *lines,
        f"in force: {view.hash}" if view.accepted else f"not in force: {view.reason} {view.detail}".rstrip(),
    ]


def order_lines(orders: Sequence[views.OrderView]) -> list[str]:
    """Orders, newest first."""
    if not orders:
        return ["no orders"]
    rows = [
        [
            clock(order.updated_time_ns or order.created_time_ns)[:8],
            short_id(order.client_order_id),
            instrument(order.instrument_id),
            order.side[:1],
            _type(order),
            plain(order.qty),
            plain(order.filled_qty),
            plain(order.stop_price or order.price),
            order.status,
            SHORT_ROLES.get(order.role, order.role),
            order.strategy_id,
        ]
        for order in orders
    ]
    headers = ["TIME", "ORDER", "SYMBOL", "S", "TYPE", "QTY", "FILLED", "PRICE", "STATUS", "ROLE", "STRATEGY"]
    lines = table(headers, rows, frozenset({5, 6, 7}))
    for order in orders:
        if order.reason and order.reason not in QUIET_REASONS:
            why = " ".join(part for part in (order.check_id, order.reason, order.detail) if part)
            lines.append(clip(f"  why {short_id(order.client_order_id)}: {why}", 100))
    return lines


_SHORT_TYPES: Final = {
    "LIMIT": "LMT",
    "MARKET": "MKT",
    "STOP": "STP",
    "STOP_LIMIT": "STPL",
    "TAKE_PROFIT": "TP",
    "TAKE_PROFIT_LIMIT": "TPL",
}


def _type(order: views.OrderView) -> str:
    name = _SHORT_TYPES.get(order.order_type, order.order_type)
    return name if order.time_in_force == "GTC" else f"{name} {order.time_in_force}"


def position_lines(positions: Sequence[views.PositionView]) -> list[str]:
    """Open positions."""
    if not positions:
        return ["no open positions"]
    rows = [
        [
            instrument(item.instrument_id),
            "SHORT" if item.qty.startswith("-") else "LONG",
            plain(item.qty.lstrip("-")),
            plain(item.avg_price),
            plain(item.mark_price) if item.mark_price else UNKNOWN,
            signed(item.unrealized_pnl),
            f"{item.limit_used_pct:.0f}%",
            plain(item.stop_price),
            f"{item.mark_age_ms / 1000:.1f}s",
            item.strategy_id,
        ]
        for item in positions
    ]
    headers = ["SYMBOL", "SIDE", "QTY", "AVG", "MARK", "UPNL", "LIM", "STOP", "AGE", "STRATEGY"]
    return table(headers, rows, frozenset({2, 3, 4, 5, 6, 7, 8}))


def pnl_lines(pnl: views.PnlView) -> list[str]:
    """Money."""
    mark = "~" if pnl.stale_inputs else ""
    unit = pnl.currency
    day = f"{mark}{signed(pnl.day_pnl)}"
    rows = [
        ["equity", f"{mark}{amount(pnl.equity)}", f"{unit}, day started at {amount(pnl.day_start_equity)}"],
        ["day", day, f"{unit}, {pnl.day_pnl_pct:+.2f} % of {pnl.day_limit_pct:g} %"],
        ["realized", signed(pnl.realized_pnl), f"{unit} before fees"],
        ["unrealized", f"{mark}{signed(pnl.unrealized_pnl)}", unit],
        ["fees", amount(pnl.fees), unit],
        ["gross", amount(pnl.gross_exposure), f"{unit} of {amount(pnl.gross_limit)}"],
        ["net", signed(pnl.net_exposure), unit],
        ["turnover", amount(pnl.turnover), f"{unit} today"],
        ["drawdown", f"{pnl.drawdown_pct:.2f}", "% from the highest equity"],
    ]
    if pnl.funding != "0":
        rows.insert(5, ["funding", signed(pnl.funding), unit])
    if pnl.margin_ratio_pct is not None:
        rows.append(["leverage", f"{pnl.leverage:.2f}", "x equity"])
        rows.append(["margin", f"{pnl.margin_used_pct or 0:.1f}", f"% used, ratio {pnl.margin_ratio_pct:.1f} %"])
    lines = table(["PNL", "AMOUNT", ""], rows, frozenset({1}))
    if pnl.stale_inputs:
        lines.append(f"~ estimate: {pnl.stale_inputs} stale inputs")
    if pnl.strategies:
        per = [
            [
                item.strategy_id,
                signed(item.realized_pnl),
                signed(item.unrealized_pnl),
                amount(item.fees),
                signed(item.day_pnl),
                str(item.open_positions),
                str(item.round_trips),
                f"{item.win_rate_pct:.0f}%" if item.round_trips else "-",
            ]
            for item in pnl.strategies
        ]
        headers = ["STRATEGY", "REALIZED", "UNREALIZED", "FEES", "DAY", "OPEN", "TRIPS", "WON"]
        lines += ["", *table(headers, per, frozenset(range(1, 8)))]
    if pnl.pairs:
        per = [
            [
                item.instrument_id,
                signed(item.realized_pnl),
                signed(item.unrealized_pnl),
                amount(item.fees),
                signed(item.day_pnl),
            ]
            for item in pnl.pairs
        ]
        lines += ["", *table(["PAIR", "REALIZED", "UNREALIZED", "FEES", "DAY"], per, frozenset(range(1, 5)))]
    return lines


def audit_lines(view: views.AuditView) -> list[str]:
    """The audit: what was compared, then what does not match."""
    lines = [
        f"orders at the venue  {view.venue_orders}, matched to one approval each  {view.approved_orders}",
        f"fills at the venue   {view.venue_fills}, booked here  {view.booked_fills}",
        f"unapproved orders    {view.unapproved_orders}",
        f"unknown orders       {view.unknown_orders}",
        f"position mismatches  {view.position_mismatches}",
        *view.notes,
    ]
    if view.clean:
        return [*lines, "AUDIT CLEAN"]
    rows = [[item.kind, item.subject, item.detail] for item in view.findings]
    return [*lines, "", *table(["FINDING", "SUBJECT", "DETAIL"], rows), f"AUDIT: {len(rows)} findings"]


def audit_trail_lines(records: Sequence[views.AuditRecordView]) -> list[str]:
    """Operator commands, newest first."""
    rows = [
        [
            f"{moment(r.time_ns)[5:19]}Z",
            f"{r.operator} ({r.role})" if r.role else r.operator,
            r.command,
            r.arguments,
            r.reason or "reason missing",
            r.result,
        ]
        for r in records
    ]
    return table(["TIME", "BY", "COMMAND", "ARGUMENTS", "REASON", "RESULT"], rows)


def chain_lines(view: views.ChainView) -> list[str]:
    """What riskd's journal proves about itself."""
    signed = f"{moment(view.signed_time_ns)[:19]}Z" if view.signed_seq else "never"
    lines = [
        f"records            {view.records}, the hash chain holds over all that were read",
        f"checkpoints        {view.checkpoints} signatures hold (key {view.key})",
        f"signed up to       record {view.signed_seq}, {signed}",
        f"not yet signed     {view.unsigned}",
    ]
    return [*lines, *(view.problems or ["JOURNAL AS SIGNED"])]


def control_lines(view: views.ControlReportView) -> list[str]:
    """The control report: tests, breaches and articles of what is enforced, its limits, then what is not and why."""
    enforced = [control for control in view.controls if control.status == "ENFORCED"]
    rows = [
        [
            c.check_id,
            _test_text(c),
            f"{moment(c.last_breach_time_ns)[5:19]}Z" if c.last_breach else "never",
            str(c.breaches),
            " ".join(c.rts6),
            " ".join(c.sec_15c3_5),
        ]
        for c in enforced
    ]
    limits = [[c.check_id, c.name, c.limit or "-"] for c in enforced]
    told = [[c.check_id, c.last_breach] for c in view.controls if c.last_breach]
    others = [
        [c.check_id, c.name, c.status, c.reason or "every order is refused"]
        for c in view.controls
        if c.status != "ENFORCED"
    ]
    untested = [[c.check_id, c.untested] for c in enforced if c.untested]
    lines = [f"limits {view.profile} {view.limits_hash[:12]}   {len(enforced)} of {len(view.controls)} enforced", ""]
    lines += table(["CONTROL", "LAST TEST", "LAST BREACH", "BREACHES", "RTS 6", "15c3-5"], rows, frozenset({3}))
    for head, body in (
        (["CONTROL", "NAME", "LIMIT"], limits),
        (["CONTROL", "LAST BREACH"], told),
        (["CONTROL", "WHY THE SELF-TEST PROVES NOTHING ABOUT IT"], untested),
        (["CONTROL", "NAME", "STATUS", "REASON"], others),
    ):
        lines += ["", *table(head, body)] if body else []
    return lines


def _test_text(control: views.ControlView) -> str:
    if not control.last_test:
        return "never"
    return f"{moment(control.last_test_time_ns)[5:19]}Z {'passed' if control.last_test_passed else 'FAILED'}"


def answer_lines(answer: views.IntentAnswerView) -> list[str]:
    """What became of a manual order."""
    if answer.status == "REFUSED":
        return wrap("REFUSED ", f"{answer.check_id} {answer.reason}: {answer.detail}")
    return [f"{answer.status} order {answer.client_order_id}   intent {answer.intent_id}"]


def cancel_lines(view: views.CancelView) -> list[str]:
    """What became of a cancel."""
    if not view.accepted:
        return wrap("NOT CANCELED ", f"{view.reason}: {view.detail}")
    return ["cancel sent", *(order_lines([view.order]) if view.order else [])]


def flatten_lines(view: views.FlattenView) -> list[str]:
    """What a flatten began."""
    lines = [f"reducing {item.instrument_id} {item.side} {item.qty} ({item.reduce_id})" for item in view.reduces]
    if view.reason:
        lines += wrap("nothing begun: ", f"{view.reason}: {view.detail}")
    return lines


def explain_lines(view: views.ExplainView) -> list[str]:
    """Fill → order → approval with every check → signal → market data."""
    lines: list[str] = []
    for fill in view.executions:
        text = (
            f"{fill.side} {plain(fill.qty)} {instrument(fill.instrument_id)} at {plain(fill.price)}, "
            f"fee {plain(fill.fee)} {fill.fee_asset} ({fill.liquidity.lower()})"
        )
        lines += wrap("FILL      ", f"{fill.exec_id}  {moment(fill.event_time_ns)}  {text}")
    if view.order is not None:
        order = view.order
        lines += wrap(
            "ORDER     ",
            f"{order.client_order_id}  {order.role} {order.side} {plain(order.qty)} {_type(order)} "
            f"price {plain(order.price)} stop {plain(order.stop_price)}  {order.status}  by {order.strategy_id}",
        )
        if order.protects_client_order_id:
            lines.append(f"          protects {order.protects_client_order_id}")
    for event in view.events:
        note = " ".join(part for part in (event.reason, event.detail) if part)
        lines.append(clip(f"          {clock(event.receive_time_ns)}  {event.kind} -> {event.status}  {note}", 100))
    if view.grant_derivation:
        lines += wrap("GRANT     ", view.grant_derivation)
    if view.decision is not None:
        lines += decision_lines(view.decision)
    if view.intent is not None:
        lines += intent_lines(view.intent)
    for text in view.missing:
        lines += wrap("MISSING   ", text)
    return lines


def decision_lines(decision: views.DecisionView) -> list[str]:
    """One decision: every check that ran or was skipped with what it measured, the others by name."""
    verdict = f"{decision.verdict}  qty {plain(decision.approved_qty)}"
    if decision.check_id:
        verdict += f"  {decision.check_id} {decision.reason}"
    if decision.binding_limit:
        verdict += f"  bound by {decision.binding_limit}"
    lines = wrap(
        "APPROVAL  ",
        f"{decision.decision_id}  {clock(decision.time_ns)}  {verdict}  level {decision.level} epoch {decision.epoch}",
    )
    absent = [check.check_id for check in decision.checks if check.outcome == "NOT_APPLICABLE"]
    for check in decision.checks:
        if check.outcome == "NOT_APPLICABLE":
            continue
        outcome = SHOWN_CHECK_OUTCOMES.get(check.outcome, check.outcome)
        measured = f"{check.measured} of {check.limit}" if check.limit else check.measured
        text = " ".join(part for part in (check.reason, measured, check.scope) if part)
        lines.append(clip(f"          {check.check_id:<7} {outcome:<8} {text}".rstrip(), 100))
    if absent:
        lines += wrap(f"          n/a {len(absent)}  ", f"{' '.join(absent)} (reasons: --json)")
    return lines


def intent_lines(intent: views.IntentView) -> list[str]:
    """One intent with what its strategy saw."""
    wanted = f"qty {plain(intent.qty)}" if intent.qty else f"strength {plain(intent.strength)}"
    lines = wrap(
        "INTENT    ",
        f"{intent.intent_id}  {clock(intent.created_time_ns)}  {intent.role} {intent.side} "
        f"{instrument(intent.instrument_id)} {wanted} {intent.order_type} {plain(intent.limit_price)}",
    )
    signal = intent.signal
    if signal.signal:
        lines += wrap("SIGNAL    ", f"{signal.signal} score {plain(signal.score)}")
        if signal.features:
            lines += wrap("          ", "  ".join(f"{item.name}={item.value}" for item in signal.features))
    if signal.market_sequence:
        lines += wrap(
            "MARKET    ",
            f"sequence {signal.market_sequence} of {signal.market_incarnation}, "
            f"event {clock(signal.market_event_time_ns)}, "
            f"received {clock(signal.market_receive_time_ns)}, sent {clock(signal.market_sent_time_ns)}",
        )
    return lines


def table_lines(view: views.TablesView) -> list[str]:
    """Rows per table."""
    rows = [[item.table, str(item.rows), str(item.queued), str(item.dropped)] for item in view.tables]
    return [view.database, *table(["TABLE", "ROWS", "QUEUED", "DROPPED"], rows, frozenset({1, 2, 3}))]
