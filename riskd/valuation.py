"""Which markets turn an asset into account currency: straight, the other way round, or through one other asset.

Spot markets count, and no peg is assumed: a stablecoin is worth what a market pays for it. Where no spot market joins
the two assets of an inverse perpetual, its own price does: it settles in one and is worth the other. Paths are made
once per instrument list; the shortest wins, then the first by name, so that every start of the process takes the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from riskd.rules import InstrumentRule


@dataclass(frozen=True, slots=True)
class Leg:
    """One market of a path."""

    instrument_id: str
    inverted: bool
    """False: the asset is its base, worth the bid. True: the asset is its quote, worth 1 / ask of its base."""


Path = tuple[Leg, ...]
"""One or two legs, first the one that takes the asset away."""


def asset_paths(rules: Iterable[InstrumentRule], currency: str) -> dict[str, Path]:
    """Return asset -> path for every asset that spot markets connect with the account currency in at most two steps."""
    rules = list(rules)
    steps: dict[str, dict[str, Leg]] = {}
    for rule in sorted(rules, key=lambda r: r.instrument_id):
        if rule.is_spot:
            steps.setdefault(rule.base, {}).setdefault(rule.quote, Leg(rule.instrument_id, False))
    for rule in sorted(rules, key=lambda r: r.instrument_id):
        if rule.contract.inverse:
            steps.setdefault(rule.base, {}).setdefault(rule.quote, Leg(rule.instrument_id, False))
    for base, quotes in list(steps.items()):
        for quote, leg in list(quotes.items()):
            if not leg.inverted:
                steps.setdefault(quote, {}).setdefault(base, Leg(leg.instrument_id, True))
    paths: dict[str, Path] = {}
    for asset, markets in steps.items():
        if asset == currency:
            continue
        straight = markets.get(currency)
        if straight is not None:
            paths[asset] = (straight,)
            continue
        for between in sorted(markets):
            second = steps[between].get(currency)
            if second is not None:
                paths[asset] = (markets[between], second)
                break
    return paths
