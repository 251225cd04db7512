"""execd reads the venue's trading rules again, tells riskd when and what, and says so when they have changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from execd.rules_shell import RulesReader
from tests.execd.desk_kit import DeskKit
from tests.execd.live_kit import live_kit
from tests.support.builders import BTC, make_instrument
from tradebot.core.accounts import VenueStatus
from tradebot.core.errors import ConfigError, DisconnectedError
from tradebot.core.instruments import Instrument, rules_hash
from tradebot.runtime.venue_reader import VenueReader


def told(kit: DeskKit) -> VenueStatus:
    return kit.desk.risk_side.venue_status(kit.desk.state.venues["binance"])


def test_riskd_is_told_what_was_read_and_when_and_a_change_is_an_error_once() -> None:
    kit = DeskKit()
    for found in ("first", "first", "second", "second"):
        kit.now_ns += 1
        kit.desk.rules_read("binance", found, kit.now_ns)
        kit.pump()

    assert (told(kit).rules_time_ns, told(kit).rules_hash) == (kit.now_ns, "second")
    assert [event for _, event, _ in kit.notices if event == "rules_changed"] == ["rules_changed"]


async def test_the_rules_of_a_running_exchange_are_those_that_execd_began_with(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        done = await RulesReader(kit.live, {"binance": kit.rest}).read("binance")
        venue = kit.desk.state.venues["binance"]

        assert done
        assert venue.rules_hash == rules_hash(kit.desk.state.instruments.values())
        assert 0 < venue.rules_time_ns <= kit.clock.now_ns()


class Answers(VenueReader):
    """A venue that answers this."""

    def __init__(self, answer: list[Instrument] | Exception) -> None:
        self.answer = answer

    async def instruments(self) -> list[Instrument]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_rules_that_cannot_be_read_age_and_those_of_a_delisted_symbol_are_no_rules(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        venue = kit.desk.state.venues["binance"]
        kit.live.rules_read("binance", kit.desk.state.instruments.values())
        first = (venue.rules_time_ns, venue.rules_hash)
        silent = await RulesReader(kit.live, {"binance": Answers(DisconnectedError("gone"))}).read("binance")
        after_silence = (venue.rules_time_ns, venue.rules_hash)
        changed = [replace(make_instrument(BTC), oco_allowed=False)]
        await RulesReader(kit.live, {"binance": Answers(changed)}).read("binance")
        after_change = venue.rules_hash
        await RulesReader(kit.live, {"binance": Answers(ConfigError("not listed"))}).read("binance")

        assert (silent, after_silence) == (False, first)
        assert after_change == rules_hash(changed)
        assert venue.rules_hash == rules_hash([])
