"""The lines that are on every screen: mode, level, stop, day, data, alarms, clock; the alarm line; the keys."""

from __future__ import annotations

from typing import Final

from console import text as t
from console.panels.words import BAR_WIDTH, gain
from console.staleness import Freshness, mark
from console.stop_keys import StopLevel
from console.stop_state import kill_sentence
from console.text import EMPTY, Line, Span, Tone, line
from console.view import View

NEAR_LIMIT: Final = 0.75
"""Share of the day's loss limit from which it is coloured."""


def mode_span(view: View) -> Span:
    """Return the mode; real money is reversed."""
    mode = view.identity.mode.upper()
    return Span(f" {mode} ", Tone.REVERSE if mode == "REAL" else Tone.STRONG)


def level_span(view: View) -> Span:
    """Return the level in force for the whole system."""
    level, freshness = view.level.level, view.level.freshness
    if level is None:
        return Span("LEVEL ?", Tone.P2)
    name = level.name
    if freshness is Freshness.STALE:
        return Span(f"~{name}", Tone.STALE)
    tone = Tone.NORMAL if level == 0 else Tone.P3 if level < 4 else Tone.REVERSE
    return Span(f" {name} " if tone is Tone.REVERSE else name, tone)


def smaller_holds(view: View) -> Line:
    """Say that parts are held while the system runs."""
    scoped = sum(1 for hold in view.level.holds if hold.scope.name)
    return line(Span(f" +{scoped} hold{'s' if scoped > 1 else ''}", Tone.P3)) if scoped else EMPTY


def stop_span(view: View, *, short: bool = False) -> Span:
    """Return whether the stop path works."""
    stop = view.stop
    if not stop.known:
        return Span("STOP ?", Tone.P3)
    if stop.answering == stop.total:
        words = "STOP" if short else "STOP ok"
        return Span(f"{words} {stop.answering}/{stop.total} {stop.slowest_ms:.0f}ms")
    return Span(f"STOP {stop.answering}/{stop.total}", Tone.P1 if stop.answering == 0 else Tone.P2)


def data_span(view: View) -> Span:
    """Return whether what is seen is fresh."""
    stale, dead = view.data_grades
    if dead:
        return Span(f"DATA {dead} dead", Tone.P2)
    return Span(f"DATA {stale} stale", Tone.P3) if stale else Span("DATA ok")


def alarm_counts(view: View) -> Line:
    """Return the number of alarms by priority; only those that exist have colour."""
    spans: list[Span] = []
    for priority, tone in ((1, Tone.P1), (2, Tone.P2), (3, Tone.P3)):
        count = sum(alarm.priority == priority for alarm in view.alarms)
        spans.append(Span(f"{' ' if spans else ''}P{priority} {count}", tone if count else Tone.NORMAL))
    return tuple(spans)


def day_line(view: View) -> Line:
    """Return the day's result against its limit."""
    money = view.money
    if money.pnl is None or money.freshness is Freshness.DEAD:
        return line("day ", Span(t.UNKNOWN, Tone.STALE))
    pnl = money.pnl
    late = f" {t.age(money.age_ns)} old" if money.freshness is Freshness.LATE else ""
    stale = f" ({pnl.stale_inputs} stale)" if pnl.stale_inputs else ""
    share = pnl.limit_used or 0.0
    used = "" if pnl.limit_used is None else f" {t.percent(share * 100)}"
    tone = Tone.P1 if share >= 1 else Tone.P2 if share >= NEAR_LIMIT else Tone.NORMAL
    return line(
        "day ",
        gain(pnl.day_pnl, 14, money.freshness),
        f" {pnl.currency}",
        Span(used, Tone.STALE if money.freshness >= Freshness.STALE else tone),
        Span(f"{stale}{late}", Tone.STALE),
    )


def who_variants(view: View) -> tuple[str, ...]:
    """Return the clock and who is looking, the longest form first."""
    clock, who = f"{t.clock(view.now_ns)}Z", view.identity
    return f"{clock} {who.operator} {who.role}", f"{clock} {who.operator}", clock


def status_lines(view: View, width: int, *, narrow: bool) -> list[Line]:
    """Return the lines that are on every screen, without the alarm line. The longest form that fits is taken."""
    form = _narrow_first_line if narrow else _normal_first_line
    full, name, clock = who_variants(view)
    variants = [form(view, extras, who) for who, extras in ((full, True), (full, False), (name, False), (clock, False))]
    lines = [t.first_fitting(variants, width)]
    if narrow:
        lines.append(t.fit_line(_day_bar_line(view, width), width))
    return lines


def _normal_first_line(view: View, extras: bool, who: str) -> Line:
    level = view.level
    risk = {None: "?", 0: "normal", 1: "cautious"}.get(level.level, "halt")
    words = f"  risk {'~' if level.freshness is Freshness.STALE else ''}{risk}"
    parts: list[Line] = [
        (mode_span(view), Span(" "), level_span(view), *smaller_holds(view), Span(words if extras else "")),
        (stop_span(view),),
        day_line(view),
        (data_span(view),),
        alarm_counts(view),
        (Span(who),),
    ]
    return t.join(parts, " │ " if extras else "│")


def _narrow_first_line(view: View, extras: bool, who: str) -> Line:
    parts: list[Line] = [
        (mode_span(view), level_span(view), *(smaller_holds(view) if extras else EMPTY)),
        (stop_span(view, short=True),),
        (data_span(view),),
        alarm_counts(view),
        (Span(who),),
    ]
    return t.join(parts, "│")


def _day_bar_line(view: View, width: int) -> Line:
    pnl, freshness = view.money.pnl, view.money.freshness
    result = (Span(" "), *day_line(view))
    if pnl is None or freshness is Freshness.DEAD:
        return (*result, Span("  upnl "), Span("?", Tone.STALE), Span("  net "), Span("?", Tone.STALE))
    limit = f" of {t.compact(pnl.day_limit)} {t.bar(pnl.limit_used, BAR_WIDTH)}" if pnl.day_limit is not None else ""
    unrealized = (Span("  upnl "), gain(pnl.unrealized, 12, freshness))
    net = (Span("  net "), mark(t.compact(pnl.net, signed=True), freshness))
    return t.first_fitting(
        [(*result, Span(limit), *unrealized, *net), (*result, *unrealized, *net), (*result, *unrealized), result], width
    )


def alarm_line(view: View, width: int, *, kill_window_left_ns: int, frozen_s: int | None) -> Line:
    """Return the second line: a stop under way, a frozen screen, else the worst alarm."""
    command = view.stop_command
    if command is not None and command.is_news(view.now_ns, view.level.level):
        count = view.orders.working if view.orders.freshness <= Freshness.LATE else None
        words = command.sentence(view.now_ns, kill_window_left_ns, count)
        if command.level is StopLevel.KILL and view.kills:
            words = f"{words}. {kill_sentence(view.kills[0], view.now_ns)}"
        return t.fit_line((Span(t.clip(f" {words} ", width), Tone.REVERSE),), width)
    under_way = next((kill for kill in view.kills if not kill.is_done and not kill.stuck), None)
    if under_way is not None:
        words = t.clip(f" {kill_sentence(under_way, view.now_ns)} ", width)
        return t.fit_line((Span(words, Tone.REVERSE),), width)
    if frozen_s is not None:
        return t.fit_line((Span(f" FROZEN {frozen_s}s  what you see is old; space = continue ", Tone.REVERSE),), width)
    if not view.alarms:
        connected = all(item.beat is not None for item in view.daemons)
        return t.fit_line((Span(" no alarm" if connected else " connecting ...", Tone.MUTED),), width)
    worst = view.alarms[0]
    tone = (Tone.P1, Tone.P2, Tone.P3)[worst.priority - 1]
    since = t.age(view.now_ns - worst.since_ns)
    more = f"  +{len(view.alarms) - 1} more" if len(view.alarms) > 1 else ""
    prefix = f" [{worst.priority}] P{worst.priority} {since} "
    room = width - len(prefix) - len(more)
    body = t.clip(f"{worst.text} -> {worst.action}", room)
    return t.fit_line(
        line(Span(prefix, tone), Span(body, tone if worst.priority == 1 else Tone.NORMAL), Span(more, Tone.MUTED)),
        width,
    )


KEYS: Final = (
    "F1 help",
    "1 2 3 6 7 screens",
    "/ filter",
    "space freeze",
    "h holds",
    "q quit",
    ": palette",
    "enter why",
    "x cancel",
    "e on/off",
)
"""The most useful first: as many as fit are shown."""


def key_line(width: int, *, narrow: bool) -> Line:
    """Return the keys; the stop key is always the last thing at the right."""
    stop = "F9 STOP x1 HALT x2 KILL " if narrow else "F9 STOP: x1 HALT  x2 KILL "
    room = width - len(stop) - 2
    keys = ""
    for words in KEYS:
        if len(keys) + len(words) + 2 > room:
            break
        keys += f"  {words}" if keys else f" {words}"
    return line(Span(keys.ljust(room), Tone.MUTED), Span("│ ", Tone.MUTED), Span(stop, Tone.STRONG))
