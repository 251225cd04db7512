"""Approval tokens by the hundred thousand: mutated, spliced, replayed, expired, stale, of another environment, session
or ask. The gateway accepts none of them, and still accepts the genuine one afterwards.

`TRADEBOT_TOKENS=n` sets the volume of the slow form (1,000,000).
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from execd.gateway import AskedOrder, Blocked, Gateway, Passed
from execd.settings import NS_PER_MS
from tests.execd.desk_kit import KEY, DeskKit
from tests.execd.test_gateway import ALTERATIONS
from tradebot.core.approvals import Approval, ApprovalTerms, LevelEntry, LevelTable, SessionDown
from tradebot.core.levels import SYSTEM_SCOPE, TradingLevel
from tradebot.wire.approvals import APPROVAL_DOMAIN, GRANT_DOMAIN, _mac, sign_approval

VOLUME = int(os.environ.get("TRADEBOT_TOKENS", "1000000"))
SPENT = 40
FENCE = 5
ENVIRONMENTS = ("paper", "testnet", "real", "backtest", "", "Demo", "demo ", "demo\0")
Attack = tuple[Approval, AskedOrder, int]
"""What is presented, for which ask, at what time."""


class Siege:
    """A gateway that has passed SPENT orders, waits for one answer, and is shown everything else."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.kit = kit = DeskKit()
        kit.approver.epoch = FENCE
        table = LevelTable(FENCE, entries=(LevelEntry(SYSTEM_SCOPE, TradingLevel.RUNNING, FENCE),))
        kit.desk.on_session(SessionDown(levels=table), kit.now_ns)
        self.gateway: Gateway = kit.desk.state.gateway
        self.spent: list[tuple[Approval, AskedOrder]] = []
        for number in range(SPENT):
            asked, terms = self._ask(number)
            token = self._sign(terms)
            assert isinstance(self._present((token, asked, kit.now_ns)), Passed)
            self.spent.append((token, asked))
        self.asked, self.terms = self._ask(SPENT)
        self.genuine = self._sign(self.terms)
        self.foreign = [self._sign(alter(self.terms)) for _, alter, _ in ALTERATIONS]
        self.foreign += [self._sign(replace(self.terms, environment=name)) for name in ENVIRONMENTS]
        self.foreign += [self._sign(replace(self.terms, ask_id=self.terms.ask_id + n)) for n in range(-SPENT, 0)]
        self.stale = [self._sign(replace(self.terms, epoch=epoch)) for epoch in range(FENCE)]
        self.attacks: dict[str, Callable[[], Attack]] = {
            name.removeprefix("attack_"): getattr(self, name) for name in dir(self) if name.startswith("attack_")
        }

    def _ask(self, number: int) -> tuple[AskedOrder, ApprovalTerms]:
        kit = self.kit
        kit.submit(intent_id=f"intent-{number}", intent_sequence=number + 1)
        ask = kit.asks.pop()
        asked = kit.desk.asks._pending[ask.ask_id].asked
        assert asked is not None
        return replace(asked, wants_stop=False), kit.approver.terms(ask, kit.session_id)

    def _sign(self, terms: ApprovalTerms, key: bytes = KEY) -> Approval:
        return sign_approval(terms, "key-1", key)

    def _present(self, attack: Attack) -> Passed | Blocked:
        token, asked, now_ns = attack
        return self.gateway.pass_approved(token, asked, Decimal(0), "1", 0, now_ns)

    def _here(self, token: Approval) -> Attack:
        return token, self.asked, self.kit.now_ns

    # ---- what does not verify

    def _damaged(self, data: bytes) -> bytes:
        """Flip, replace, cut, insert or append: never the same bytes."""
        raw, rng = bytearray(data), self.rng
        at = rng.randrange(len(raw))
        match rng.randrange(6):
            case 0 | 1:
                raw[at] ^= 1 << rng.randrange(8)
            case 2:
                raw[at] = (raw[at] + rng.randrange(1, 256)) % 256
            case 3:
                del raw[at:]
            case 4:
                raw[at:at] = rng.randbytes(rng.randrange(1, 9))
            case _:
                raw += rng.randbytes(rng.randrange(1, 40))
        return bytes(raw)

    def attack_damaged_terms(self) -> Attack:
        return self._here(replace(self.genuine, terms=self._damaged(self.genuine.terms)))

    def attack_damaged_mac(self) -> Attack:
        return self._here(replace(self.genuine, mac=self._damaged(self.genuine.mac)))

    def attack_repeated_field(self) -> Attack:
        """Protobuf lets the last field win: `environment`, `valid_for_ms` or `ask_id` once more, well-formed."""
        extra = self.rng.choice([b"\x0a\x04demo", b"\x20\xff\x7f", b"\x30\x01"])
        return self._here(replace(self.genuine, terms=self.genuine.terms + extra))

    def attack_spliced(self) -> Attack:
        """Terms of one genuine token, MAC of another."""
        other, _ = self.rng.choice(self.spent)
        return self._here(replace(self.genuine, mac=other.mac))

    def attack_random_mac(self) -> Attack:
        return self._here(replace(self.genuine, mac=self.rng.randbytes(self.rng.choice([0, 16, 32, 32, 32, 64]))))

    def attack_key_id(self) -> Attack:
        return self._here(replace(self.genuine, key_id=self.rng.choice(["", "key-2", "key-1 ", "KEY-1", "key-1\0"])))

    def attack_other_key(self) -> Attack:
        key = self.rng.randbytes(32)
        return self._here(replace(self.genuine, mac=_mac(APPROVAL_DOMAIN, "key-1", self.genuine.terms, key)))

    def attack_grant_as_approval(self) -> Attack:
        """The right key over the right bytes, signed as something else."""
        domain = self.rng.choice([GRANT_DOMAIN, b"", b"tradebot.approval.v2", APPROVAL_DOMAIN + b"\x00key-1"])
        return self._here(replace(self.genuine, mac=_mac(domain, "key-1", self.genuine.terms, KEY)))

    # ---- what verifies and is not for this ask, here and now

    def attack_foreign(self) -> Attack:
        return self._here(self.rng.choice(self.foreign))

    def attack_stale_epoch(self) -> Attack:
        return self._here(self.rng.choice(self.stale))

    def attack_expired(self) -> Attack:
        late_ns = self.rng.choice([1, NS_PER_MS, 10**9, 10**15])
        return self.genuine, self.asked, self.asked.sent_ns + self.terms.valid_for_ms * NS_PER_MS + late_ns

    def attack_before_it_was_asked(self) -> Attack:
        return self.genuine, self.asked, self.asked.sent_ns - self.rng.choice([1, 10**9, 10**15])

    def attack_replayed(self) -> Attack:
        token, asked = self.rng.choice(self.spent)
        return token, self.rng.choice([asked, self.asked]), self.kit.now_ns

    def run(self, volume: int) -> tuple[Counter[str], list[str]]:
        """Present `volume` tokens; return the reasons and what was accepted."""
        reasons: Counter[str] = Counter()
        accepted: list[str] = []
        kinds = [name for name in self.attacks for _ in range(4 if name.startswith("damaged") else 1)]
        for _ in range(volume):
            kind = self.rng.choice(kinds)
            result = self._present(self.attacks[kind]())
            if isinstance(result, Passed):
                accepted.append(kind)
            else:
                reasons[result.reason] += 1
        return reasons, accepted


def judge(volume: int, seed: int) -> None:
    siege = Siege(seed)
    reasons, accepted = siege.run(volume)

    assert not accepted
    assert sum(reasons.values()) == volume
    assert set(reasons) == {
        "APPROVAL_BAD_SIGNATURE", "APPROVAL_CONTEXT_MISMATCH", "APPROVAL_REPLAYED", "APPROVAL_EXPIRED",
        "APPROVAL_EPOCH_STALE", "APPROVAL_DIGEST_MISMATCH",
    }  # fmt: skip
    assert isinstance(siege._present(siege._here(siege.genuine)), Passed)  # the siege itself can be got through
    assert isinstance(siege._present(siege._here(siege.genuine)), Blocked)


@pytest.mark.volume
def test_thousands_of_forged_replayed_expired_and_foreign_tokens_are_refused() -> None:
    judge(20_000, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_a_million_forged_replayed_expired_and_foreign_tokens_are_refused() -> None:
    judge(VOLUME, seed=2)
