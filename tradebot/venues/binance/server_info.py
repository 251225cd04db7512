"""Server half, exchangeInfo: symbols and filters in the current layout (captured 2025-08, documented 2026-07)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tradebot.core.instruments import InstrumentStatus
from tradebot.venues.binance.server_format import decimal8
from tradebot.venues.binance.server_limits import limit_rows
from tradebot.venues.server_api import RulesView, ServerLimits

_STATUS = {
    InstrumentStatus.TRADING: "TRADING",
    InstrumentStatus.CANCEL_ONLY: "CANCEL_ONLY",
    InstrumentStatus.HALTED: "HALT",
}
ORDER_TYPES = ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"]
STP_MODES = ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]


def exchange_info(symbols: Sequence[RulesView], limits: ServerLimits, now_ms: int) -> dict[str, Any]:
    """Return the whole answer for these symbols."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": limit_rows(limits),
        "exchangeFilters": [],
        "symbols": [symbol_info(rules) for rules in symbols],
    }


def symbol_info(rules: RulesView) -> dict[str, Any]:
    """Return one symbol."""
    one = rules.instrument
    return {
        "symbol": one.venue_symbol,
        "status": _STATUS[one.status],
        "baseAsset": one.base,
        "baseAssetPrecision": 8,
        "quoteAsset": one.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ORDER_TYPES,
        "icebergAllowed": False,
        "ocoAllowed": True,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(rules),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": STP_MODES,
    }


def filters(rules: RulesView) -> list[dict[str, Any]]:
    """Return the filters that the simulator enforces, and no other."""
    one = rules.instrument
    up, down = f"{rules.price_multiplier_up:f}", f"{rules.price_multiplier_down:f}"
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": decimal8(rules.min_price),
            "maxPrice": decimal8(rules.max_price),
            "tickSize": decimal8(one.tick_size),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": decimal8(one.min_qty),
            "maxQty": decimal8(one.max_qty),
            "stepSize": decimal8(one.lot_size),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": "0.00000000",
            "maxQty": decimal8(one.market_max_qty),
            "stepSize": "0.00000000",
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up,
            "bidMultiplierDown": down,
            "askMultiplierUp": up,
            "askMultiplierDown": down,
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": decimal8(one.min_notional),
            "applyMinToMarket": True,
            "maxNotional": decimal8(
                one.max_notional if one.max_notional is not None else one.max_qty * rules.max_price
            ),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.max_num_orders},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": rules.max_num_algo_orders},
    ]
