"""Balances of simulated accounts in Money: free + locked = total, and nothing ever goes below zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tradebot.core.errors import InvariantError
from tradebot.sim.orders import AssetBalance


class Account:
    """Balances of one account. Every change marks the asset, so that the engine can report what was touched."""

    __slots__ = ("_free", "_locked", "_touched", "account_id")

    def __init__(self, account_id: str, balances: Mapping[str, int]) -> None:
        self.account_id = account_id
        self._free: dict[str, int] = dict(balances)
        self._locked: dict[str, int] = dict.fromkeys(balances, 0)
        self._touched: dict[str, None] = {}

    def free(self, asset: str) -> int:
        """Return what may be spent or locked."""
        return self._free.get(asset, 0)

    def locked(self, asset: str) -> int:
        """Return what working orders hold."""
        return self._locked.get(asset, 0)

    def total(self, asset: str) -> int:
        """Return free + locked."""
        return self.free(asset) + self.locked(asset)

    def credit(self, asset: str, money: int) -> None:
        """Add to free (negative: take from free)."""
        free = self._free.get(asset, 0) + money
        if free < 0:
            raise InvariantError(f"account {self.account_id}: free {asset} would become {free} Money")
        self._free[asset] = free
        self._touched[asset] = None

    def move_to_locked(self, asset: str, money: int) -> None:
        """Lock from free (negative: release)."""
        locked = self._locked.get(asset, 0) + money
        if locked < 0:
            raise InvariantError(f"account {self.account_id}: locked {asset} would become {locked} Money")
        self.credit(asset, -money)
        self._locked[asset] = locked

    def pay_locked(self, asset: str, money: int) -> None:
        """Spend from locked."""
        locked = self._locked.get(asset, 0) - money
        if locked < 0:
            raise InvariantError(f"account {self.account_id}: locked {asset} would become {locked} Money")
        self._locked[asset] = locked
        self._touched[asset] = None

    def restore(self, balances: Iterable[AssetBalance]) -> None:
        """Hold exactly this."""
        self._free.clear()
        self._locked.clear()
        for one in balances:
            self._free[one.asset], self._locked[one.asset] = one.free, one.locked

    def balances(self) -> list[AssetBalance]:
        """Return every asset ever held, in order of first use."""
        return self._balances(self._free)

    def take_touched(self) -> list[AssetBalance]:
        """Return the assets changed since the last call."""
        touched = self._balances(self._touched)
        self._touched.clear()
        return touched

    def _balances(self, assets: Iterable[str]) -> list[AssetBalance]:
        return [AssetBalance(asset, self._free.get(asset, 0), self._locked.get(asset, 0)) for asset in assets]
