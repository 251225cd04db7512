"""Every cause of a hold: what it raises, what it means, how it ends. One table for docs/holds.md and the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from riskd.holds import ALARMS, DEFAULT_ALARM, AlarmRule
from tradebot.core.levels import ReleaseRule

AFTER_PREFIX: Final = "AFTER_"


@dataclass(frozen=True, slots=True)
class CauseSpec:
    """One row."""

    cause: str
    level: str
    scope: str
    release: str
    meaning: str
    ending: str
    """What an operator does, or waits for."""


_ONE_KEY: Final = "look into it, then `tradebot clear HOLD --reason ...`"
_TWO_KEY: Final = "after its cool-off: second key and phrase, or two signatures of a team; CAUTIOUS 30 min follows"
_KILLED: Final = (
    "after its cool-off, with riskd and execd restarted and the limits self-tested: second key and phrase, or two"
    " signatures of a team; AFTER_KILL follows"
)
_LOSS: Final = "second key and phrase waive it for that day"

RAISED: Final[tuple[CauseSpec, ...]] = (
    CauseSpec("OPERATOR", "any", "any", "ONE_KEY; KILLED: TWO_KEY; with an end: TIMED", "an operator raised it",
              "`tradebot resume --reason ...` clears all that take one key; KILLED: " + _KILLED),
    CauseSpec("STOP", "HALTED or KILLED", "system", "ONE_KEY; KILLED: TWO_KEY",
              "stop service: F9, `tradebot halt`, `tradebot kill`", "`tradebot resume`; KILLED: " + _KILLED),
    CauseSpec("ENGINE", "PAUSED at most", "strategy", "ONE_KEY; with an end: TIMED", "the engine stopped a strategy",
              "the engine clears it; or look into it and clear it by hand"),
    CauseSpec("MARKETDATA", "PAUSED at most", "instrument or venue", "ONE_KEY; with an end: TIMED",
              "marketdata does not trust a feed", "marketdata clears it; or look into it and clear it by hand"),
    CauseSpec("RECORDER", "REDUCE_ONLY", "system", "ONE_KEY; with an end: TIMED", "the recorder cannot record",
              "the recorder clears it; or look into it and clear it by hand"),
    CauseSpec("AFTER_<cause>", "CAUTIOUS", "of the hold before", "TIMED 30 min", "a TWO_KEY hold was cleared",
              "wait, or second key and phrase"),
    CauseSpec("AFTER_KILL", "CAUTIOUS, a tenth of the size", "of the hold before", "TIMED 24 h",
              "a KILLED hold was cleared", "wait, or second key and phrase"),
    CauseSpec("NO_SESSION", "REDUCE_ONLY", "system", "AUTO", "execd has no session with riskd",
              "is execd running? It dials by itself"),
    CauseSpec("STARTUP_RECONCILE", "REDUCE_ONLY", "venue", "AUTO", "not reconciled with the venue since the start",
              "ends with the first clean reconciliation; look at execd's log when it does not"),
    CauseSpec("ORDER_LOG_LOST", "HALTED", "system", "TWO_KEY", "execd's order log is another one or ends too early",
              "compare orders and positions with the venue; " + _TWO_KEY),
    CauseSpec("JOURNAL_REWRITTEN", "HALTED", "system", "TWO_KEY", "riskd's journal is not the one that it signed",
              "compare with the venue; restore the journal, or move checkpoints/riskd/ away; " + _TWO_KEY),
    CauseSpec("LIMITS_LOOSENED", "HALTED", "system", "TWO_KEY",
              "riskd started with a limits file that loosens what was in force; the evidence has the ratios",
              _TWO_KEY + ". Or put the limits of before back and start again: the hold ends by itself"),
    CauseSpec("PROFILE_CONTRADICTS", "REDUCE_ONLY", "instrument", "AUTO", "the profile cannot trade what it names",
              "ends when the limits or the venue's minimum change; the evidence has the numbers"),
    CauseSpec("DRILL", "KILLED", "strategy manual:drill", "AUTO", "`tradebot drill kill` is under way",
              "ends when the venue has confirmed the drill; `tradebot kill-report` says where it is"),
    CauseSpec("FLATTEN_INCOMPLETE", "HALTED", "instrument", "ONE_KEY", "the closing ladder found no buyer",
              "close at the venue or flatten again, then clear"),
    CauseSpec("PNL-01", "PAUSED, then CAUTIOUS; third time HALTED", "system",
              "TIMED; HALTED: ONE_KEY from the next UTC day",
              "the day lost 2 %: pause 60 min, then half size 30 min; deeper: 120 min; deeper again: HALTED",
              "wait; second key and phrase end it early, into CAUTIOUS; any key makes it longer"),
    CauseSpec("PNL-02", "HALTED", "system", "ONE_KEY from the next UTC day", "the day lost its limit",
              "next day: one key; before: " + _LOSS),
    CauseSpec("PNL-03", "HALTED", "system", "TWO_KEY", "the week lost its limit; clearing begins the week again",
              _TWO_KEY),
    CauseSpec("PNL-04", "HALTED", "system", "TWO_KEY, 24 h", "too far below the 30-day high; clearing begins it again",
              _TWO_KEY),
    CauseSpec("PNL-05", "PAUSED", "system", "TIMED 15 min", "equity fell too fast", "wait; second key and phrase"),
    CauseSpec("PNL-06", "PAUSED, then HALTED", "strategy or system", "TIMED; HALTED: ONE_KEY",
              "losing round trips in a row", "wait; HALTED: " + _ONE_KEY + ", which begins the count again"),
    CauseSpec("PNL-07", "HALTED", "strategy", "TIMED to 00:00 UTC", "a strategy lost its share of the day",
              "wait for the next UTC day; before: " + _LOSS),
    CauseSpec("PNL-08", "CAUTIOUS", "strategy", "TIMED 30 min", "its entries pay far more than half the spread",
              "wait; second key and phrase; smaller orders, calmer hours"),
    CauseSpec("PNL-09", "PAUSED", "venue", "AUTO", "the venue counts another equity of a margin account than we do",
              "compare fills, fees and funding with the venue; ends when both agree again"),
    CauseSpec("PRICE_SUSPECT", "PAUSED", "system", "AUTO", "a loss is seen on stale prices only",
              "fresh prices deny or confirm it; after 2 min it counts"),
    CauseSpec("MARKS_OLD", "REDUCE_ONLY", "system", "AUTO", "more than 1 % of equity stands on prices 60 s old",
              "ends when they are seen again; is marketdata well? The evidence names them; closing stays possible"),
    CauseSpec("DAY_TARGET", "as configured", "system", "TIMED to 00:00 UTC", "the day reached its target",
              "one key, once a day; or the next UTC day"),
    CauseSpec("MKT-07", "REDUCE_ONLY", "instrument", "TIMED 5 min", "its price jumped within a minute",
              "wait; second key and phrase"),
    CauseSpec("SPC-09", "REDUCE_ONLY", "instrument", "AUTO", "an entry rests longer than it may, and nobody ended it",
              "ends when it is over; does execd answer, does the venue take its cancels? Cancel it at the venue"),
    CauseSpec("RAT-04", "CAUTIOUS", "strategy", "TIMED 30 min", "it orders a lot and trades little",
              "wait; second key and phrase; mend the strategy"),
    CauseSpec("RAT-05", "PAUSED", "strategy or venue", "TIMED 10 min", "the venue refuses too many orders",
              "wait; second key and phrase; execd's log has the reasons"),
    CauseSpec("RAT-06", "HALTED", "strategy", "ONE_KEY", "it entered again and again and nobody looked",
              _ONE_KEY + ", which begins the count again"),
    CauseSpec("PTR-09", "CAUTIOUS", "system", "TIMED 5 min", "the venue acknowledges orders too late",
              "wait; second key and phrase; look at the venue and the network"),
    CauseSpec("POS-02", "REDUCE_ONLY", "instrument", "AUTO", "a position drifted over its soft cap",
              "reduce it; after the grace riskd does, to 90 %; ends below 95 %"),
    CauseSpec("POS-04", "REDUCE_ONLY", "system", "AUTO", "gross exposure drifted over its soft cap",
              "reduce; after the grace riskd does, largest first"),
    CauseSpec("POS-05", "REDUCE_ONLY", "system", "AUTO", "the portfolio leans to one side beyond its soft cap",
              "reduce; after the grace riskd does, largest of that side first"),
    CauseSpec("POS-06", "REDUCE_ONLY", "instruments of the base asset", "AUTO",
              "one base asset drifted over its soft cap", "reduce; after the grace riskd does, largest first"),
    CauseSpec("POS-13", "REDUCE_ONLY", "system", "AUTO", "a fall or rise of everything costs more than the soft cap",
              "reduce; after the grace riskd does, largest of that side first"),
    CauseSpec("POS-07", "REDUCE_ONLY", "instruments of the cluster", "AUTO", "a correlated group over its soft cap",
              "reduce; after the grace riskd does, largest first"),
    CauseSpec("POS-14", "REDUCE_ONLY", "instrument", "AUTO", "a position is held too long",
              "close it; after the grace riskd does"),
    CauseSpec("PTR-01", "KILLED", "venue", "TWO_KEY", "the eyes see an order that nothing allowed",
              "find out who sent it, remove it at the venue. Then: " + _KILLED),
    CauseSpec("PTR-03", "PAUSED", "venue", "ONE_KEY", "the eyes see another position than ours, or a fill nobody told",
              "compare with the venue; clearing it accepts what the venue holds"),
    CauseSpec("PTR-04", "PAUSED", "venue", "ONE_KEY", "the venue holds another balance than fills and ledger explain",
              "find the transfer; clearing it accepts what the venue holds, as neither profit nor loss"),
    CauseSpec("PTR-05", "REDUCE_ONLY", "instrument, else venue", "ONE_KEY", "the eyes see an order that is not ours",
              "remove it at the venue, then clear"),
    CauseSpec("PTR-06", "REDUCE_ONLY, then HALTED", "instrument", "AUTO; HALTED: ONE_KEY",
              "riskd sees a position without the stop it was granted; at the second deadline it closes it",
              "ends when the stop rests again. HALTED: find out why execd had not protected it, then clear"),
    CauseSpec("PTR-07", "REDUCE_ONLY, then PAUSED", "system", "AUTO", "a daemon that trading depends on is silent",
              "is it running? The evidence names it; ends when everybody is heard again"),
    CauseSpec("PTR-08", "REDUCE_ONLY; after a failed sync HALTED", "system", "AUTO; HALTED: ONE_KEY",
              "riskd's disk is almost full or slow; or its journal failed and riskd started again",
              "make room, look at the disk. HALTED: compare with the venue, then clear"),
    CauseSpec("EYES_SILENT", "REDUCE_ONLY", "venue", "AUTO", "no complete look at the venue for too long",
              "is `eyes` running, does the venue answer it? Ends with the next look"),
    CauseSpec("<POS cap>_HARD", "HALTED", "of the cap", "ONE_KEY", "5 min above the hard cap in spite of reducing",
              "bring it below by hand, then clear"),
)  # fmt: skip

ALARM_MEANINGS: Final = {
    "FILL_ANOMALY": ("a fill that no order explains", _ONE_KEY),
    "RECOVERED_ORDER": ("an order was sent, and a crash of execd or riskd lost what allowed it", _ONE_KEY),
    "UNAPPROVED_ORDER": ("an order with our id that riskd never approved", "find out who sent it. Then: " + _KILLED),
    "LIQUIDATED": ("the venue closed a position because its margin was used up", _ONE_KEY),
    "POSITION_MISMATCH": ("the venue's position is not ours", "ends with a clean reconciliation"),
    "BALANCE_DRIFT": ("the venue's balance is not what our fills make it", "ends with a clean reconciliation"),
    "FOREIGN_ACTIVITY": ("orders or positions that are not ours", "remove them at the venue, then clear"),
    "LATE_APPEARANCE": ("an order works or filled after its end was proven", _ONE_KEY),
    "GRANT_INVALID": ("execd cannot read a protection grant: do both have the same keys?", _ONE_KEY),
    "UNRESOLVED_ORDER": ("an order whose fate is unknown", "ends when the venue has told"),
    "KEY_OVERPRIVILEGED": (
        "the trading key may withdraw or transfer",
        "take that right from it; clear it once the venue says so, which execd asks every minute then",
    ),
    "KEY_UNBOUND": (
        "the trading key works from any address",
        "bind it to ours at the venue; ends with the next answer",
    ),
    "KEY_EXPIRES": ("the trading key ends within seven days", "renew it at the venue; ends with the next answer"),
    "KEY_UNCHECKED": ("the venue does not tell what the trading key may do", "ends when it tells again"),
    "UNPROTECTED_POSITION": ("a position without its stop", "ends when the stop rests again; else flatten"),
}
"""Of the causes that execd reports: what each means, how it ends."""


def all_causes() -> tuple[CauseSpec, ...]:
    """Return every cause that riskd knows by name."""
    reported = tuple(_alarm(cause, rule) for cause, rule in ALARMS.items())
    other = _spec(
        "EXECD_<any other alarm>", DEFAULT_ALARM, "an alarm that has no rule of its own", "ends with its all-clear"
    )
    return (*RAISED, *reported, other)


def _alarm(cause: str, rule: AlarmRule) -> CauseSpec:
    return _spec(cause, rule, *ALARM_MEANINGS[cause])


def _spec(cause: str, rule: AlarmRule, meaning: str, ending: str) -> CauseSpec:
    scope = "venue" if rule.whole_venue else "instrument, else venue"
    return CauseSpec(cause, rule.level.name, scope, rule.release.name, meaning, ending)


def is_known(cause: str) -> bool:
    """Return whether a cause stands in the table."""
    names = {spec.cause for spec in all_causes()}
    return cause.removeprefix(AFTER_PREFIX) in names or (cause.endswith("_HARD") and cause.startswith("POS-"))


RELEASES: Final[dict[ReleaseRule, str]] = {
    ReleaseRule.AUTO: "by its cause alone: nobody clears it by hand",
    ReleaseRule.TIMED: "at its end; an operator's own and DAY_TARGET also by one key, others after the cool-off by"
    " second key and phrase",
    ReleaseRule.ONE_KEY: "by one operator with a reason; before its time (day loss), but after the cool-off, by second"
    " key and phrase",
    ReleaseRule.TWO_KEY: "after the cool-off. solo: role `risk`, typed phrase. team: a trader and a risk officer, two"
    " people, both type the phrase within 5 min while nothing else changes. The venues are reconciled. CAUTIOUS 30 min"
    " follows; after KILLED 24 h at a tenth of the size",
}
