"""Protobuf stays at the edge, venues stay in their folder, and a venue's two halves never share a table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source_tree import ROOT, Source, is_under, parse, product_sources

EXCHANGES = ("binance", "bybit", "okx", "bitvavo")
# Where a venue may be named: in its folder, in wiring and in the defaults an operator sees; in the reader of the files
# that a venue publishes, and the table of file formats that knows this reader.
MAY_NAME_EXCHANGES = (
    "tradebot.venues",
    "cli",
    "simexchange.__main__",
    "simexchange.wiring",
    "backtest.history.binance_csv",
    "backtest.history.sources",
)


def speaks_protobuf(source: Source) -> bool:
    """True for the only modules that may import `*_pb2`."""
    edge = any(source.stem == name or source.stem.endswith(f"_{name}") for name in ("service", "client"))
    return edge or source.room == "tradebot.wire"


def protobuf_violations(source: Source) -> list[str]:
    """Return imports of generated code outside the edge. Standard health and reflection belong to the runtime."""
    if speaks_protobuf(source):
        return []
    return [
        f"{source.where(item.line)} imports {item.name}"
        for item in source.imports()
        if is_under(item.name, "tradebot.rpc") or ("_pb2" in item.name and source.room != "tradebot.runtime")
    ]


def named_things(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every identifier, import and string constant with its line; docstrings may explain with examples."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.ImportFrom(module=str(name)):
                yield node.lineno, name
            case ast.Expr(value=ast.Constant(value=str())):
                docstrings.add(id(node.value))  # a field's one-line docstring
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield node.lineno, text


def exchange_violations(source: Source) -> list[str]:
    """Return each place that names an exchange outside the folders that may."""
    if source.stem == "config" or any(is_under(source.module, home) for home in MAY_NAME_EXCHANGES):
        return []
    return [
        f"{source.where(line)} names an exchange: {text[:60]!r}"
        for line, text in named_things(source.tree)
        if any(exchange in text.lower() for exchange in EXCHANGES)
    ]


def half_of(module: str) -> str | None:
    """Return `server` or `client` for a module inside one venue's folder, None elsewhere in tradebot.venues."""
    parts = module.split(".")
    if parts[:2] != ["tradebot", "venues"] or len(parts) < 4:
        return None
    return "server" if parts[3] == "server" or parts[3].startswith("server_") else "client"


def half_violations(source: Source) -> list[str]:
    """Return imports that would let both halves of a venue make the same mistake."""
    half = half_of(source.module)
    lines: list[str] = []
    # The contract of each half: plain core-typed views, no venue's tables.
    contract = "tradebot.venues.server_api" if half == "server" else "tradebot.venues.api"
    for item in source.imports():
        if half is None or not is_under(item.name, "tradebot.venues") or is_under(item.name, contract):
            continue
        # Importing a name from the venue package itself reaches its SPEC, which belongs to the client half.
        target = half_of(item.name) or "client"
        if target != half:
            lines.append(f"{source.where(item.line)}: the {half} half imports {item.name} of the {target} half")
    return lines


def test_protobuf_is_known_only_at_the_edge() -> None:
    violations = [line for source in product_sources() for line in protobuf_violations(source)]

    assert violations == []


def test_the_proto_folder_holds_no_python() -> None:
    assert [str(path.relative_to(ROOT)) for path in (ROOT / "proto").rglob("*.py")] == []


def test_exchanges_are_named_only_where_they_live() -> None:
    violations = [line for source in product_sources() for line in exchange_violations(source)]

    assert violations == []


def test_the_halves_of_a_venue_share_nothing_but_core() -> None:
    violations = [line for source in product_sources() for line in half_violations(source)]

    assert violations == []


def test_the_rules_see_what_they_forbid() -> None:
    pb2 = "from tradebot.rpc.risk.v1 import risk_service_pb2\n"
    server = "from tradebot.venues.acme import symbols\nfrom tradebot.core import ids\n"
    named = '"""Like okx:BTC-USDT."""\nDEFAULT = "Binance"\n'

    assert protobuf_violations(parse("riskd.gate", Path("riskd/gate.py"), pb2))
    assert not protobuf_violations(parse("riskd.service", Path("riskd/service.py"), pb2))
    assert len(exchange_violations(parse("execd.orders", Path("execd/orders.py"), named))) == 1
    path = Path("tradebot/venues/acme/server.py")
    assert len(half_violations(parse("tradebot.venues.acme.server", path, server))) == 1
