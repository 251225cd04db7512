"""The table role x method: data, default deny. Every RPC that any daemon serves has one line here."""

from __future__ import annotations

from tradebot.runtime.identity import MethodTable, Role

EVERYBODY = frozenset(Role)
OPERATORS = frozenset({Role.VIEWER, Role.TRADER, Role.RISK})

STANDARD_RULES: dict[str, frozenset[Role]] = {
    "/grpc.health.v1.Health/Check": EVERYBODY,
    "/grpc.health.v1.Health/Watch": EVERYBODY,
    "/grpc.health.v1.Health/List": EVERYBODY,
    # Reflection is registered for operator roles only, and not at all where it is switched off.
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": OPERATORS,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": OPERATORS,
}

_ENGINE = frozenset({Role.ENGINE})
_EXECD = frozenset({Role.EXECD})
_RECORDER = frozenset({Role.RECORDER})
_FEED_READERS = OPERATORS | {Role.ENGINE, Role.RISKD, Role.EXECD, Role.RECORDER, Role.SIMEXCHANGE}
_HANDS = frozenset({Role.TRADER, Role.RISK})
"""Operators who may act."""
_RAISERS = frozenset({Role.ENGINE, Role.MARKETDATA, Role.RECORDER})
_MARKETDATA = "/tradebot.rpc.marketdata.v1.MarketDataService/"
_ENGINE_SERVICE = "/tradebot.rpc.engine.v1.EngineService/"
_RISK = "/tradebot.rpc.risk.v1.RiskService/"
_EXECUTION = "/tradebot.rpc.execution.v1.ExecutionService/"
_RECORDER_SERVICE = "/tradebot.rpc.recorder.v1.RecorderService/"
_EYES_SERVICE = "/tradebot.rpc.eyes.v1.EyesService/"
_STOP = "/tradebot.rpc.stop.v1.StopService/"

RULES: dict[str, frozenset[Role]] = {
    _MARKETDATA + "ListInstruments": _FEED_READERS,
    _MARKETDATA + "Subscribe": _FEED_READERS,
    _MARKETDATA + "GetBook": _FEED_READERS,
    _MARKETDATA + "ListBars": _FEED_READERS,
    _MARKETDATA + "WatchStatus": OPERATORS | _RECORDER,
    _ENGINE_SERVICE + "ListStrategies": OPERATORS,
    _ENGINE_SERVICE + "SetStrategyEnabled": _HANDS,
    _ENGINE_SERVICE + "WatchStatus": OPERATORS | _RECORDER,
    # Served only by an engine that was started with --drive.
    _ENGINE_SERVICE + "Drive": frozenset({Role.BACKTEST}),
    # Nobody but execd holds the session: it is the only way to an approval.
    _RISK + "Session": _EXECD,
    # What the venues hold, as somebody else than execd sees it; the eyes may do nothing besides.
    _RISK + "SubmitLook": frozenset({Role.EYES}),
    _RISK + "CheckIntent": _HANDS,
    # Daemons raise up to a ceiling, and clear what they raised: riskd knows whose is what.
    _RISK + "ListHolds": OPERATORS | _RECORDER,
    _RISK + "RaiseHold": _HANDS | _RAISERS,
    _RISK + "ClearHold": _HANDS | _RAISERS,
    _RISK + "Resume": _HANDS,
    _RISK + "ExtendHold": _HANDS,
    _RISK + "Flatten": _HANDS,
    _RISK + "ListKills": OPERATORS,
    _RISK + "StartDrill": _HANDS,
    # execd's audit compares with the authority.
    _RISK + "WatchPositions": OPERATORS | _RECORDER | _EXECD,
    _RISK + "WatchPnl": OPERATORS | _RECORDER,
    _RISK + "WatchRiskEvents": OPERATORS | _RECORDER,
    _RISK + "GetDecision": OPERATORS | _EXECD,
    _RISK + "GetLimits": OPERATORS,
    # A trader may show what a change would do, and gives the first of a team's two signatures.
    _RISK + "SetLimits": _HANDS,
    _RISK + "ListAudit": OPERATORS,
    _RISK + "ListControls": OPERATORS,
    _RISK + "WatchStatus": OPERATORS | _RECORDER,
    _EXECUTION + "SubmitIntents": _ENGINE,
    _EXECUTION + "SubmitIntent": _HANDS,
    _EXECUTION + "CancelOrder": _HANDS | _ENGINE,
    _EXECUTION + "ListOrders": OPERATORS,
    _EXECUTION + "WatchOrders": OPERATORS | _RECORDER,
    _EXECUTION + "Explain": OPERATORS,
    _EXECUTION + "Audit": OPERATORS,
    _EXECUTION + "WatchStatus": OPERATORS | _RECORDER,
    _RECORDER_SERVICE + "GetStatistics": OPERATORS,
    _RECORDER_SERVICE + "WatchStatus": OPERATORS,
    _EYES_SERVICE + "WatchStatus": OPERATORS | _RECORDER,
    # A viewer may not stop: a look-only login must not halt trading. Traders and risk may, at once.
    _STOP + "Stop": _HANDS,
    _STOP + "Ping": OPERATORS,
}

METHOD_TABLE = MethodTable(STANDARD_RULES | RULES)
