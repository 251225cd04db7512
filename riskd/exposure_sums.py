"""Worst-case notionals of all instruments together, kept up to date instrument by instrument: an entry reads the sums
without a loop, whatever is held or working.

Whoever changes a position, an order or a good price names the instrument in its `moved`; only those are valued again.
Everything is valued anew when the markets or rates that value a quote asset changed, and when the sums are older than
REVALUE_NS, so nothing that went wrong here lasts; who has time before the next question asks for EARLY_NS, so that no
answer waits for it. All is counted at the last good ask, never at a venue's mark price: time alone changes nothing
here. A test holds the sums against the plain loop after every step.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

from riskd.clusters import Clusters
from riskd.exposure import Commitments
from riskd.marks import MarketBoard
from riskd.portfolio import Portfolio
from riskd.rules import InstrumentRule
from riskd.units import UNIT, amount

REVALUE_NS: Final = 250_000_000
EARLY_NS: Final = REVALUE_NS // 2


class Part(NamedTuple):
    """One instrument with something held, working or reserved."""

    notional: int | None
    """Account currency, rounded up; None = no good price, or no rate of its quote asset."""
    base: str
    is_open: bool
    """Held beyond dust, or entered."""
    venue: str
    """Of a derivative; empty for spot."""
    long: int
    """Signed notional when all buys fill and no sell does; of no use while `notional` is None."""
    short: int
    """Signed notional when all sells fill and no buy does."""
    cluster: int
    """Which one; -1 = none."""


NO_CLUSTER: Final = -1
NOTHING: Final = Part(0, "", False, "", 0, 0, NO_CLUSTER)


class ExposureSums:
    """The sums."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._gross = self._long = self._short = self._bought = self._sold = 0
        self._by_base: dict[str, int] = defaultdict(int)
        self._by_venue: dict[str, int] = defaultdict(int)
        """Derivatives alone."""
        self._by_cluster: dict[int, int] = defaultdict(int)
        self._clusters: Clusters = ()
        self._cluster_of: dict[str, int] = {}
        self._blind = 0
        """Instruments whose notional is not known."""
        self._open = 0
        self._rates: dict[str, int | None] = {}
        """Quote asset -> rate that the notionals were made with."""
        self._paths: object = None
        self._at_ns = -REVALUE_NS

    def group(self, clusters: Clusters) -> None:
        """Say which instruments move together: other ones than before are summed up anew by the next `refresh`."""
        if clusters is not self._clusters:
            self._clusters, self._paths = clusters, None
            self._cluster_of = {name: at for at, names in enumerate(clusters) for name in names}

    def refresh(
        self,
        portfolio: Portfolio,
        commitments: Commitments,
        board: MarketBoard,
        rules: Mapping[str, InstrumentRule],
        now_ns: int,
        max_age_ns: int = REVALUE_NS,
    ) -> None:
        """Value what moved, or everything when that was done longer ago than `max_age_ns`."""
        due: set[str] | None = None
        is_whole, self._paths = self._paths is board.paths, None  # what stops halfway is done anew as a whole
        if is_whole and 0 <= now_ns - self._at_ns < max_age_ns:
            for quote, rate in self._rates.items():
                if board.rate(quote, long=False) != rate:
                    break
            else:
                due = board.moved & self._parts.keys()
                due |= portfolio.moved
                due |= commitments.moved
        if due is None:
            self._parts.clear()
            self._by_base.clear()
            self._by_venue.clear()
            self._by_cluster.clear()
            self._rates.clear()
            self._gross = self._long = self._short = self._bought = self._sold = self._blind = self._open = 0
            self._at_ns = now_ns
            due = portfolio.net.keys() | commitments.by_instrument.keys()
        for instrument_id in due:
            self._value(instrument_id, portfolio, commitments, board, rules[instrument_id])
        board.moved.clear()
        portfolio.moved.clear()
        commitments.moved.clear()
        self._paths = board.paths

    def others(self, instrument_id: str, base: str) -> tuple[int | None, int | None, int]:
        """Return (gross, gross of this base asset, open instruments) of all other instruments; None = not known. Call
        `refresh` before.
        """
        own = self._parts.get(instrument_id, NOTHING)
        count = self._open - own.is_open
        if self._blind > (own.notional is None):
            return None, None, count
        notional = own.notional or 0
        return self._gross - notional, self._by_base.get(base, 0) - notional, count

    def derivatives_at(self, venue: str, instrument_id: str) -> int:
        """Return the gross of all other derivatives of a venue, as far as known. Call `refresh` before."""
        own = self._parts.get(instrument_id, NOTHING)
        return self._by_venue.get(venue, 0) - (own.notional or 0 if own.venue == venue else 0)

    def cluster_others(self, instrument_id: str) -> int | None:
        """Return the gross of the others in its cluster, as far as known; None = it moves with no other. Call `refresh`
        before.
        """
        cluster = self._cluster_of.get(instrument_id)
        if cluster is None:
            return None
        return self._by_cluster.get(cluster, 0) - (self._parts.get(instrument_id, NOTHING).notional or 0)

    def net_others(self, instrument_id: str) -> tuple[int, int] | None:
        """Return the signed notionals of all other instruments (when their buys fill, when their sells do); None = not
        known. Call `refresh` before.
        """
        own = self._parts.get(instrument_id, NOTHING)
        if self._blind > (own.notional is None):
            return None
        return self._long - own.long, self._short - own.short

    def sides_beside(self, instrument_id: str) -> tuple[int, int] | None:
        """Return what all other instruments are worth where they are bought (when their buys fill), and where they are
        sold (when their sells do); None = not known. Call `refresh` before.
        """
        own = self._parts.get(instrument_id, NOTHING)
        if self._blind > (own.notional is None):
            return None
        own_sold = min(own.short, 0) if own.venue else 0  # nobody is short of a spot market
        return self._bought - max(own.long, 0), self._sold + own_sold

    def _value(
        self,
        instrument_id: str,
        portfolio: Portfolio,
        commitments: Commitments,
        board: MarketBoard,
        rule: InstrumentRule,
    ) -> None:
        old = self._parts.get(instrument_id)
        if old is not None:
            self._open -= old.is_open
            if old.notional is None:
                self._blind -= 1
            else:
                self._gross -= old.notional
                self._long -= old.long
                self._short -= old.short
                self._bought -= max(old.long, 0)
                self._by_base[old.base] -= old.notional
                self._by_cluster[old.cluster] -= old.notional
                if old.venue:
                    self._by_venue[old.venue] -= old.notional
                    self._sold += min(old.short, 0)
        held, orders = portfolio.net.get(instrument_id, 0), commitments.by_instrument.get(instrument_id)
        buy, sell, entries = (0, 0, 0) if orders is None else (orders.buy, orders.sell, orders.entries)
        worst = held + buy if rule.is_spot else max(held + buy, sell - held)
        is_open = held > rule.dust_qty or held < -rule.dust_qty or entries > 0
        notional = self._notional(worst, instrument_id, board, rule) if worst > 0 else 0
        long = short = 0
        if notional:  # without one nothing is exposed on either side
            long = notional if held + buy == worst else self._signed(held + buy, instrument_id, board, rule)
            short = long if not buy and not sell else self._signed(held - sell, instrument_id, board, rule)
        venue = "" if rule.is_spot else rule.venue
        cluster = self._cluster_of.get(instrument_id, NO_CLUSTER)
        self._parts[instrument_id] = Part(notional, rule.base, is_open, venue, long, short, cluster)
        self._open += is_open
        if notional is None:
            self._blind += 1
        else:
            self._gross += notional
            self._long += long
            self._short += short
            self._bought += max(long, 0)
            self._by_base[rule.base] += notional
            self._by_cluster[cluster] += notional
            if venue:
                self._by_venue[venue] += notional
                self._sold -= min(short, 0)

    def _signed(self, qty: int, instrument_id: str, board: MarketBoard, rule: InstrumentRule) -> int:
        """Return the signed notional of a quantity whose notional is known to be computable."""
        notional = self._notional(abs(qty), instrument_id, board, rule) or 0
        return notional if qty > 0 else -notional

    def _notional(self, worst: int, instrument_id: str, board: MarketBoard, rule: InstrumentRule) -> int | None:
        quote = rule.quote
        if quote not in self._rates:
            self._rates[quote] = board.rate(quote, long=False)
        rate, view = self._rates[quote], board.views.get(instrument_id)
        if view is None or not view.good_ns or rate is None:
            return None
        notional = rule.contract.quote_notional(worst, view.good_ask)
        return notional if rate == UNIT else amount(rate, notional)
