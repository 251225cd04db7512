"""What each 64-bit word of a block means. Words named F_… hold a float64."""

from __future__ import annotations

from typing import Final

PAGE_BITS: Final = 12
"""log2 of the ticks that share a byte of USED."""
NEVER: Final = (1 << 63) - 1
"""A time that does not come."""
NO_PRICE: Final = -(1 << 62)
"""What the API answers for the best price of an empty side."""

# --- the clock's block ----------------------------------------------------------------------------------------------
NOW: Final = 0
MARKETS: Final = 1
LOOKAHEAD: Final = 2
"""Smallest order-entry latency of all markets: how far an exchange may run ahead of an undecided wake."""
STARTED: Final = 3
SAMPLE_EVERY: Final = 4
"""Resolution of the samples, ns; 0 takes none."""
NEXT_SAMPLE: Final = 5
"""NEVER without any."""
SAMPLES: Final = 6
SAMPLE_COUNT: Final = 7
SAMPLE_MAX: Final = 8
SAMPLED: Final = 9
"""How much the strategy had received at the last sample."""
FIRST_MARKET: Final = 16
"""Addresses of the markets' blocks from here on."""
CLOCK_WORDS: Final = 72
MAX_MARKETS: Final = CLOCK_WORDS - FIRST_MARKET

# --- a market's block: data -----------------------------------------------------------------------------------------
CLOCK: Final = 0
"""Address of the clock's block."""
ROWS: Final = 1
ROW: Final = 2
"""Next row the exchange side reads."""
LOCAL_ROW: Final = 3
"""Next row the strategy's side receives."""
WAKE_ROW: Final = 4
"""LOCAL_ROW at the previous wake: the rows between are new to the strategy."""
EXCHANGE_TIMES: Final = 5
LOCAL_TIMES: Final = 6
FLAGS: Final = 7
PRICES: Final = 8
QTYS: Final = 9
ORDER_IDS: Final = 10
ONE_ORDER: Final = 11
"""1 when both clocks saw the rows in one order: one book serves both sides."""

# --- books ----------------------------------------------------------------------------------------------------------
BASE: Final = 12
"""Price in ticks of ladder index 0. Indices 0 and TOP are walls that stop every search."""
TOP: Final = 13
BIDS: Final = 14
ASKS: Final = 15
"""Ladders: quantity << 1 | one of our orders stands here."""
BEST_BID: Final = 16
BEST_ASK: Final = 17
"""Ladder indices; 0 and TOP mean an empty side."""
TOUCHES: Final = 18
"""Ring over rows: best bid << 32 | best ask after the row, ladder indices."""
PREVIOUS: Final = 19
"""Ring over rows: the quantity a LEVEL row replaced."""
RING_MASK: Final = 20
LOCAL_BIDS: Final = 21
LOCAL_ASKS: Final = 22
USED: Final = 70
"""Four words, addresses of byte arrays: bids, asks, local bids, local asks. 1 = a level was set on that ladder page."""
LOCAL_BEST_BID: Final = 23
LOCAL_BEST_ASK: Final = 24

# --- our orders -----------------------------------------------------------------------------------------------------
ORDERS: Final = 25
MAX_ORDERS: Final = 26
FREE: Final = 27
FREE_COUNT: Final = 28
OPEN: Final = 29
"""Slots the strategy sees, oldest first until one is cleared."""
OPEN_COUNT: Final = 30
LIVE: Final = 31
"""Slots resting at the exchange, oldest first."""
LIVE_COUNT: Final = 32
MY_BID: Final = 33
"""Ladder index of our highest resting bid, -1 for none."""
MY_ASK: Final = 34
"""Ladder index of our lowest resting ask, TOP + 1 for none."""
NEXT_SERIAL: Final = 35
REQUESTS: Final = 36
REQUEST_HEAD: Final = 37
REQUEST_TAIL: Final = 38
REQUEST_MASK: Final = 39
RESPONSES: Final = 40
RESPONSE_HEAD: Final = 41
RESPONSE_TAIL: Final = 42
RESPONSE_MASK: Final = 43

# --- models ---------------------------------------------------------------------------------------------------------
QUEUE_MODEL: Final = 44
F_QUEUE_POWER: Final = 45
F_LOT_SIZE: Final = 46
PARTIAL_FILLS: Final = 47
ENTRY_LATENCY: Final = 48
RESPONSE_LATENCY: Final = 49
RAN_TO: Final = 50
"""How far the exchange side has run."""
LATENCY_MODEL: Final = 51
SELF_TRADE: Final = 52
IMPACT: Final = 53
"""1: liquidity our orders took is gone until the feed touches its level again, and a trade fills us once.
BOOK_IS_OURS: what is taken leaves the book itself."""
MIN_QTY: Final = 54
MIN_VALUE: Final = 55
"""Smallest price * quantity, tick-lots."""

# --- the strategy's account -----------------------------------------------------------------------------------------
POSITION: Final = 56
"""Lots, signed."""
VALUE: Final = 57
"""Sum of side * price * quantity over fills, tick-lots: what buying cost less what selling brought."""
MAKER_VALUE: Final = 58
TAKER_VALUE: Final = 59
"""Traded value by liquidity, tick-lots."""
FILLS: Final = 60
FILLED_QTY: Final = 61
SUBMITS: Final = 62
CANCELS: Final = 63
MODIFIES: Final = 64
ERROR: Final = 65
EATEN: Final = 74
"""Two words, addresses of ladders with the lots our takers ate: of bids, of asks."""
LAST_TRADE: Final = 76
"""Ladder index of the last public trade, -1 before the first."""
WAITING: Final = 77
"""Slots of stops that wait for their trigger."""
WAITING_COUNT: Final = 78
STOP_ABOVE: Final = 79
STOP_BELOW: Final = 80
"""Ladder indices at and beyond which a trade triggers some stop."""
X_POSITION: Final = 81
"""Position as the exchange knows it, lots."""
USES_REDUCE_ONLY: Final = 82
VISIT: Final = 83
RANDOM: Final = 84
"""State of the generator of sampled latencies."""
ENTRY_TABLE: Final = 85
RESPONSE_TABLE: Final = 86
"""Sampled: addresses of quantiles. Recorded: ENTRY_TABLE is the address of request times."""
TABLE_ROWS: Final = 87
RECORDED_EXCHANGE: Final = 88
RECORDED_RESPONSE: Final = 89
ENTRY_CURSOR: Final = 90
RESPONSE_CURSOR: Final = 91
ARRIVALS: Final = 92
EVENTS: Final = 93
EVENT: Final = 94
"""Marks and fundings of the venue: how many, and the next one."""
EVENT_TIMES: Final = 95
EVENT_KINDS: Final = 96
EVENT_VALUES: Final = 97
F_MARK: Final = 98
"""Ticks; 0 before the first."""
F_COLLATERAL: Final = 99
F_MAINTENANCE: Final = 100
F_LEVERAGE: Final = 101
"""0 for a market without margin."""
INVERSE: Final = 102
F_LIQUIDATION_FEE: Final = 103
F_MAKER_FEE: Final = 104
F_TAKER_FEE: Final = 105
X_VALUE: Final = 106
"""As VALUE, known to the exchange."""
F_X_FEES: Final = 107
F_X_INVERSE: Final = 108
"""Sum of side * quantity / price over the fills of an inverse contract."""
F_FUNDING: Final = 109
LIQUIDATIONS: Final = 110
LIQUIDATED_VALUE: Final = 111
FUNDING_LOG: Final = 112
"""Rows of three words: funding event, mark event, position."""
FUNDING_COUNT: Final = 113
MARK_EVENT: Final = 114
AWAITED: Final = 66
"""Id of the order whose response is waited for; 0 as soon as one came."""
FILL_LOG: Final = 67
FILL_LOG_COUNT: Final = 68
FILL_LOG_MAX: Final = 69
RUNNER: Final = 115
"""Address of the pass over rows of a feed made of orders, 0 = the usual one."""
CHANGES: Final = 116
PLACES: Final = 117
"""Columns of `by_order.QueueChanges`."""
FEE_TIERS: Final = 118
"""How many; with one nothing is ever looked up."""
FEE_TABLE: Final = 119
VOLUMES: Final = 120
"""Addresses of the tiers and of the venue's volumes by day; see `fees`."""
F_VOLUME_UNIT: Final = 121
"""Quote units of one tick-lot (of one lot for an inverse contract)."""
FEE_DAY_NS: Final = 122
FEE_DAY: Final = 123
"""Day for which TIER was chosen, -1 before the first fill."""
TIER: Final = 124
VALUES: Final = 125
"""Address of two words per tier: value known to the strategy as taken, as made; tick-lots."""
INVERSE_VALUES: Final = 126
"""The same of an inverse contract, float64: sums of quantity / price; behind them the one of bought less sold."""
F_LIQUIDATED_INVERSE: Final = 127
MEETING: Final = 128
"""1: our orders are several accounts' and meet each other; a stop waits until `venue.fire` sends it on."""
BBO_ID: Final = 129
"""Update id of the newest best bid or offer of a venue's rows: older book rows are not believed at the touch."""
NEXT_EXPIRY: Final = 130
"""When the exchange next looks for orders whose time has come, NEVER for none."""
ORDER_LOG: Final = 131
ORDER_LOG_MAX: Final = 132
"""Address and rows of the log of orders; 0 rows for none."""
MARKET_WORDS: Final = 136
PRICE_BOUND: Final = 1 << 40
"""Ticks."""
QTY_BOUND: Final = 1 << 50
"""Lots; a level shares its word with a mark, and a queue position must be exact as a float."""
VALUE_BOUND: Final = 1 << 61
"""Traded value at which a run stops before 64 bits are too few."""

# --- one order ------------------------------------------------------------------------------------------------------
ID: Final = 0
"""serial * MAX_ORDERS + slot + 1; 0 for a free slot."""
SIDE: Final = 1
"""1 buy, -1 sell."""
PRICE: Final = 2
QTY: Final = 3
LEAVES: Final = 4
STATUS: Final = 5
REQUEST: Final = 6
"""The request that is under way, or NO_REQUEST."""
KIND: Final = 7
"""Order type and time in force."""
TAG: Final = 8
"""The strategy's own number."""
SUBMITTED_AT: Final = 9
LAST_PRICE: Final = 10
LAST_QTY: Final = 11
NEW_PRICE: Final = 12
NEW_QTY: Final = 13
"""What a modification under way asks for."""
TRIGGER: Final = 14
"""Price at which a stop becomes an order."""
DISPLAY: Final = 15
"""Lots an iceberg shows at a time; 0 shows all."""
X_PRICE: Final = 16
"""From here on the exchange's view; X_PRICE is a ladder index."""
X_LEAVES: Final = 17
X_PLACE: Final = 18
"""Index in LIVE, -1 when not resting."""
F_AHEAD: Final = 19
"""Lots ahead of us in the queue."""
F_TRADED: Final = 20
"""Lots traded at our price since the level last changed."""
X_SINCE: Final = 21
"""When it came to rest."""
PRICE_AT_EXCHANGE: Final = 22
"""Its limit price in ticks; X_PRICE is kept inside the ladder, this is not."""
X_SHOWN: Final = 23
"""Lots of the part that stands in the queue."""
X_WAITING: Final = 24
"""Place in WAITING + 1, 0 for an order that does not wait for a trigger."""
X_VISIT: Final = 25
ARRIVED: Final = 26
"""Number of the arrival that gave it its place in the queue."""
X_RANK: Final = 27
"""Rows of the feed that had happened when it took its place."""
EXPIRES: Final = 28
"""Time at which the exchange ends it, 0 for never."""
ACCOUNT: Final = 32
"""Whose order it is, where orders meet each other."""
PREVENTION: Final = 33
"""Self-trade prevention of this order, where orders meet each other; the taker's counts."""
BUDGET: Final = 34
"""Tick-lots this order may still spend as a taker, NO_BUDGET for no bound."""
ORDER_WORDS: Final = 36

# --- messages -------------------------------------------------------------------------------------------------------
M_TIME: Final = 0
M_SLOT: Final = 1
M_KIND: Final = 2
"""Request kind, or for a response the new status (or a REFUSED kind)."""
M_ID: Final = 3
M_PRICE: Final = 4
M_QTY: Final = 5
M_LEAVES: Final = 6
M_MAKER: Final = 7
"""Of a fill 1 for the maker, plus twice the fee tier; of PRINTED the taker's side; of an order's end the cause."""
MESSAGE_WORDS: Final = 8

# --- codes ----------------------------------------------------------------------------------------------------------
NO_REQUEST: Final = 0
REQUEST_NEW: Final = 1
REQUEST_CANCEL: Final = 2
REQUEST_MODIFY: Final = 3

PENDING_NEW: Final = 0
NEW: Final = 1
PARTIALLY_FILLED: Final = 2
FILLED: Final = 3
CANCELED: Final = 4
EXPIRED: Final = 5
"""Post-only that would take, IOC and FOK remainders, a market order without a market."""
CANCEL_REFUSED: Final = 6
MODIFY_REFUSED: Final = 7
"""Responses only: the order is no longer at the exchange, or the change is against a rule and it stays as it was."""
REJECTED: Final = 8
"""Against a rule: too small, more than the margin carries, or reduce-only without a position to reduce."""
PRINTED: Final = 9
"""Response only, where orders meet: a match at M_PRICE of M_QTY lots; the fills of our orders in it follow at once."""

BY_ITSELF: Final = 0
SELF_TRADE_MET: Final = 1
BUDGET_SPENT: Final = 2
"""Causes of an end."""

GTC: Final = 0
POST_ONLY: Final = 1
IOC: Final = 2
FOK: Final = 3
MARKET: Final = 4
TIME_IN_FORCE: Final = 7
"""Mask of the five above; the flags below are added to one of them."""
REDUCE_ONLY: Final = 8
STOP: Final = 16
"""Waits until a trade reaches `trigger` from our wrong side: at or above for a buy, at or below for a sell."""
TAKE_PROFIT: Final = 32
"""Waits until a trade reaches `trigger` from our right side."""
TRIGGERED: Final = STOP | TAKE_PROFIT
KNOWN_KIND: Final = TIME_IN_FORCE | REDUCE_ONLY | TRIGGERED
"""Every bit that a kind may have."""

EXPIRE_MAKER: Final = 1
EXPIRE_TAKER: Final = 2
EXPIRE_BOTH: Final = 3
"""Self-trade prevention; 0 lets our orders pass each other, as they are in nobody's book."""

BOOK_IS_OURS: Final = 2
"""Value of IMPACT."""
NO_BUDGET: Final = -1

ERROR_NONE: Final = 0
ERROR_ORDERS: Final = 1
ERROR_RESPONSES: Final = 2
ERROR_HISTORY: Final = 3
ERROR_FILL_LOG: Final = 4
ERROR_VALUE: Final = 5
ERROR_TERMS: Final = 6
ERROR_ORDER_LOG: Final = 7
ERROR_SAMPLES: Final = 8
