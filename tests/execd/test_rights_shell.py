"""PTR-10: execd refuses to start with a key that may move money, and asks every hour whether it may by now."""

from __future__ import annotations

from pathlib import Path

import pytest

from execd.key_watch import LEAST_LEFT_NS, MAX_RIGHTS_AGE_NS
from execd.rights_shell import RightsReader, StatusReader, rights_at_start
from tests.execd.desk_kit import DeskKit
from tests.execd.live_kit import live_kit
from tradebot.core.errors import ConfigError, DisconnectedError
from tradebot.runtime.venue_reader import VenueReader
from tradebot.venues.api_orders import KeyRights

TRADES = KeyRights(may_read=True, may_trade=True, may_move_money=False)
MOVES = KeyRights(may_read=True, may_trade=True, may_move_money=True)


class Answers(VenueReader):
    """A venue that answers this."""

    def __init__(self, answer: KeyRights | Exception) -> None:
        self.answer = answer

    async def rights(self) -> KeyRights:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Maintained(VenueReader):
    """A venue that says this of its maintenance."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer

    async def under_maintenance(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def told(kit: DeskKit, rights: KeyRights | None) -> list[tuple[str, bool]]:
    kit.alarms.clear()
    kit.desk.rights_read("binance", rights, kit.now_ns)
    kit.pump()
    return kit.alarms


async def test_a_key_that_may_move_money_is_refused_at_the_start_with_its_name() -> None:
    with pytest.raises(ConfigError, match=r"venues\.binance\.api_key_name: this key may withdraw"):
        await rights_at_start("binance", Answers(MOVES))


async def test_one_that_may_only_trade_and_one_that_is_not_told_may_start() -> None:
    assert await rights_at_start("binance", Answers(TRADES)) == TRADES
    assert await rights_at_start("binance", Answers(DisconnectedError("gone"))) is None


def test_riskd_is_told_of_a_key_that_may_move_money_each_time_it_is_seen() -> None:
    kit = DeskKit()

    assert told(kit, TRADES) == []
    assert told(kit, MOVES) == [("KEY_OVERPRIVILEGED", False)]
    assert told(kit, MOVES) == [("KEY_OVERPRIVILEGED", False)]


@pytest.mark.parametrize(("age_ns", "alarms"), [(MAX_RIGHTS_AGE_NS, []), (MAX_RIGHTS_AGE_NS + 1, ["KEY_UNCHECKED"])])
def test_what_was_not_told_for_too_long_counts_as_never_told_until_it_is(age_ns: int, alarms: list[str]) -> None:
    kit = DeskKit()
    told(kit, TRADES)
    kit.now_ns += age_ns
    silent = [cause for cause, _ in told(kit, None)]

    assert silent == alarms
    assert told(kit, None) == []
    assert told(kit, TRADES) == [(cause, True) for cause in alarms]


def test_who_was_never_told_is_not_trusted() -> None:
    assert told(DeskKit(), None) == [("KEY_UNCHECKED", False)]


async def test_a_running_exchange_says_that_the_key_moves_no_money(tmp_path: Path) -> None:
    async with live_kit(tmp_path) as kit:
        done = await RightsReader(kit.live, {"binance": kit.rest}).read("binance")

        assert done
        assert kit.desk.state.venues["binance"].rights_ns > 0
        assert await kit.rest.rights() == TRADES


# ---- from where, and until when


def test_a_key_that_works_from_any_address_is_told_until_it_is_bound() -> None:
    kit = DeskKit()
    unbound = TRADES._replace(address_bound=False)

    assert told(kit, unbound) == [("KEY_UNBOUND", False)]
    assert told(kit, unbound) == []
    assert told(kit, TRADES) == [("KEY_UNBOUND", True)]
    assert told(kit, TRADES) == []


@pytest.mark.parametrize(("left_ns", "alarms"), [(LEAST_LEFT_NS, []), (LEAST_LEFT_NS - 1, ["KEY_EXPIRES"])])
def test_a_key_with_less_than_seven_days_left_is_told(left_ns: int, alarms: list[str]) -> None:
    kit = DeskKit()
    ending = TRADES._replace(expires_ns=kit.now_ns + left_ns)

    assert told(kit, ending) == [(cause, False) for cause in alarms]
    assert told(kit, TRADES) == [(cause, True) for cause in alarms]


def test_a_restart_ends_what_an_earlier_life_told_and_is_not_so_any_more() -> None:
    kit = DeskKit()
    told(kit, TRADES._replace(address_bound=False))
    kit.restart()

    assert told(kit, TRADES) == [("KEY_UNCHECKED", True), ("KEY_UNBOUND", True), ("KEY_EXPIRES", True)]
    assert told(kit, TRADES) == []


def test_riskd_hears_with_each_status_what_the_key_may_do_and_since_when_that_is_known() -> None:
    kit = DeskKit()
    venue = kit.desk.state.venues["binance"]
    told(kit, MOVES)
    status = kit.desk.risk_side.venue_status(venue)
    assert (status.key_time_ns, status.key_moves_money) == (kit.now_ns, True)

    kit.now_ns += 1
    told(kit, TRADES)
    status = kit.desk.risk_side.venue_status(venue)

    assert (status.key_time_ns, status.key_moves_money) == (kit.now_ns, False)


@pytest.mark.parametrize("maintenance", [True, False])
async def test_what_the_exchange_says_of_its_maintenance_reaches_riskd(tmp_path: Path, maintenance: bool) -> None:
    async with live_kit(tmp_path) as kit:
        kit.desk.state.venues["binance"].maintenance = not maintenance
        reader: VenueReader = Maintained(maintenance)
        await StatusReader(kit.live, {"binance": reader}).read("binance")

        assert kit.desk.risk_side.venue_status(kit.desk.state.venues["binance"]).maintenance is maintenance


async def test_an_exchange_that_runs_is_under_no_maintenance_and_one_that_does_not_answer_says_nothing(
    tmp_path: Path,
) -> None:
    async with live_kit(tmp_path) as kit:
        assert not await kit.rest.under_maintenance()
        kit.desk.state.venues["binance"].maintenance = True
        await StatusReader(kit.live, {"binance": Maintained(DisconnectedError("gone"))}).read("binance")

        assert kit.desk.state.venues["binance"].maintenance
