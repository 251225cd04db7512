"""Who is calling, and what each role may call.

A role comes from where the call came in: over a Unix socket it is the role that the socket was made for (file
permissions decide who can open it), over TCP it is the URI SAN of the verified peer certificate. Metadata is never
identity. The table role x method is data and denies by default: a method or role that is not in it is refused, and a
daemon whose method is missing does not start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from enum import StrEnum

from tradebot.core.errors import InvariantError

ROLE_URI_PREFIX = "tradebot://role/"


class Role(StrEnum):
    """Daemon roles, then operator roles. The console and the cli dial with an operator role."""

    MARKETDATA = "marketdata"
    ENGINE = "engine"
    RISKD = "riskd"
    EXECD = "execd"
    RECORDER = "recorder"
    EYES = "eyes"
    """Looks at the venues with keys that may only read, and tells riskd."""
    SIMEXCHANGE = "simexchange"
    BACKTEST = "backtest"
    VIEWER = "viewer"
    """May watch."""
    TRADER = "trader"
    """May trade, raise holds, and clear what one key clears."""
    RISK = "risk"
    """May change limits and hold the second key."""


OPERATOR_ROLES = frozenset({Role.VIEWER, Role.TRADER, Role.RISK})
DAEMON_ROLES = frozenset(Role) - OPERATOR_ROLES

_caller: ContextVar[Role] = ContextVar("caller_role")


class MethodTable:
    """The default-deny table. Keys are full method names, `/package.Service/Method`."""

    def __init__(self, rules: Mapping[str, frozenset[Role]]) -> None:
        self._rules = dict(rules)

    def allows(self, role: Role | None, method: str) -> bool:
        """Return whether this role may call this method; no role may call nothing."""
        return role is not None and role in self._rules.get(method, frozenset())

    def callers(self, methods: Iterable[str]) -> frozenset[Role]:
        """Return the roles that may call at least one of the methods: the sockets a daemon has to open."""
        return frozenset(role for method in methods for role in self._rules.get(method, frozenset()))

    def require_covered(self, methods: Iterable[str]) -> None:
        """Raise InvariantError when a served method is missing: somebody added an RPC and forgot who may call it."""
        missing = sorted(set(methods) - self._rules.keys())
        if missing:
            raise InvariantError(f"methods without a rule in tradebot/runtime/methods.py: {', '.join(missing)}")


def caller_role() -> Role:
    """Return the role of the caller of the RPC being handled. Only inside a handler, async or in a server thread."""
    return _caller.get()


def set_caller_role(role: Role) -> None:
    """For the interceptors: bind the caller to the current RPC's context."""
    _caller.set(role)


def role_of_certificate(alternative_names: Iterable[bytes]) -> Role | None:
    """Return the one role named by a verified certificate's URI SANs; None when there is none, several, or an unknown
    one.
    """
    prefix = ROLE_URI_PREFIX.encode()
    names = {
        name.removeprefix(prefix).decode("ascii", "replace") for name in alternative_names if name.startswith(prefix)
    }
    if len(names) != 1:
        return None
    (name,) = names
    return Role(name) if name in Role.__members__.values() else None


def module_of(daemon: str) -> str:
    """Return what `python -m` runs: the package of the daemon's name, but for the eyes, who belong to riskd."""
    return "riskd.eyes" if daemon == Role.EYES else daemon


def server_name(daemon: str) -> str:
    """Return the DNS SAN that only this daemon's certificate carries: a client checks it, so no other key can pose as
    it.
    """
    return f"{daemon}.tradebot"
