"""Every method of every daemon as every role: what the table does not allow is denied before any handler runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.system import RunningSystem
from tradebot.runtime.identity import Role
from tradebot.runtime.methods import RULES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SERVICES = {
    "marketdata": "tradebot.rpc.marketdata.v1.MarketDataService",
    "engine": "tradebot.rpc.engine.v1.EngineService",
    "riskd": "tradebot.rpc.risk.v1.RiskService",
    "execd": "tradebot.rpc.execution.v1.ExecutionService",
    "eyes": "tradebot.rpc.eyes.v1.EyesService",
    "recorder": "tradebot.rpc.recorder.v1.RecorderService",
    "riskd.stop": "tradebot.rpc.stop.v1.StopService",
    "execd.stop": "tradebot.rpc.stop.v1.StopService",
}


def call(socket: Path, method: str) -> grpc.StatusCode:
    """Send an empty request; streams are read to their first message or end."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        try:
            open_stream: Any = channel.stream_stream(method)
            next(open_stream(iter([b""]), timeout=1.5))
        except StopIteration:
            return grpc.StatusCode.OK
        except grpc.RpcError as exc:
            code = exc.code()
            assert isinstance(code, grpc.StatusCode)
            return code
    return grpc.StatusCode.OK


def test_every_method_as_every_role() -> None:
    denied = served = 0
    with RunningSystem() as system:
        system.settle()
        placed = system.command("order", "buy", "binance:BTC-USDT", "0.001", "--limit", "59500", "--json")
        assert placed.code == 0, placed.err
        at_the_venue = system.wait(system.venue_orders, "an order that rests at the venue")
        run = system.state / "run"
        for endpoint, service in SERVICES.items():
            for role in Role:
                socket = run / f"{endpoint}.{role}.sock"
                if not socket.exists():
                    continue  # no socket, no call: the strongest denial
                for method, allowed in RULES.items():
                    code = call(socket, method)
                    where = f"{endpoint} {method} as {role}: {code}"
                    if method.startswith(f"/{service}/") and role in allowed:
                        assert code is not grpc.StatusCode.PERMISSION_DENIED, where
                        served += 1
                    else:
                        assert code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED), where
                        denied += 1
        names = {path.name for path in run.iterdir() if path.name.endswith(".sock")}
        assert "riskd.simexchange.sock" not in names, "the exchange has no business with riskd"
        assert not any(name.endswith(".stop.engine.sock") for name in names)
        assert system.venue_orders() == at_the_venue, "an empty request moved an order"
        assert system.command("cancel", placed.json["client_order_id"]).code == 0
        system.assert_audit_clean()

    assert served > 40
    assert denied > 400


def test_a_caller_without_the_file_permission_cannot_open_a_socket() -> None:
    with RunningSystem() as system:
        for path in (system.state / "run").glob("*.sock"):
            assert path.stat().st_mode & 0o007 == 0, f"{path.name} is open to everybody"


def test_the_engine_may_cancel_but_not_what_an_operator_ordered() -> None:
    with RunningSystem() as system:
        system.switch_strategies(False)
        placed = system.command("order", "buy", "binance:BTC-USDT", "0.001", "--limit", "59500", "--json")
        assert placed.code == 0, placed.err
        (order,) = system.wait(
            lambda: [o for o in system.orders(working_only=True) if o.strategy_id.startswith("manual:")],
            "a resting manual order",
        )
        answer = system.as_role(Role.ENGINE).cancel(order.client_order_id, "STRATEGY", "c-1")
        unknown = system.as_role(Role.ENGINE).cancel("nobody", "STRATEGY", "c-2")

        assert (answer.accepted, answer.reason) == (False, "NOT_YOURS")
        assert (unknown.accepted, unknown.reason) == (False, "UNKNOWN_ORDER")
        assert system.command("cancel", order.client_order_id).code == 0
