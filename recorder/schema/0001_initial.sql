-- Amounts are decimal strings: exact, and readable in every tool. Times are UTC nanoseconds. `symbol` is the instrument id
-- (`venue:BASE-QUOTE`), unique over all venues; `instruments` has the venue's own spelling.

CREATE TABLE instruments (
  symbol TEXT PRIMARY KEY, venue TEXT NOT NULL, venue_symbol TEXT NOT NULL, base TEXT NOT NULL, quote TEXT NOT NULL,
  tick_size TEXT NOT NULL, lot_size TEXT NOT NULL, multiplier TEXT NOT NULL
) STRICT;

-- Public prints. Our own fills are in `fills`. side is the aggressor's.
CREATE TABLE trades (
  ts INTEGER NOT NULL, symbol TEXT NOT NULL, px TEXT NOT NULL, qty TEXT NOT NULL, side TEXT NOT NULL, id INTEGER NOT NULL,
  receive_ts INTEGER NOT NULL,
  PRIMARY KEY (symbol, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX trades_ts ON trades (ts);
CREATE INDEX trades_symbol_ts ON trades (symbol, ts);

-- Best levels; the four columns are JSON arrays of decimal strings, best first.
CREATE TABLE orderbook_l2 (
  ts INTEGER NOT NULL, symbol TEXT NOT NULL, bid_px TEXT NOT NULL, bid_qty TEXT NOT NULL, ask_px TEXT NOT NULL,
  ask_qty TEXT NOT NULL, update_id INTEGER NOT NULL, receive_ts INTEGER NOT NULL,
  PRIMARY KEY (symbol, receive_ts)
) STRICT, WITHOUT ROWID;
CREATE INDEX orderbook_l2_ts ON orderbook_l2 (ts);
CREATE INDEX orderbook_l2_symbol_ts ON orderbook_l2 (symbol, ts);

-- complete = 1: every trade of this minute was seen (of the newest bar: so far).
CREATE TABLE bars_1m (
  ts INTEGER NOT NULL, symbol TEXT NOT NULL, o TEXT NOT NULL, h TEXT NOT NULL, l TEXT NOT NULL, c TEXT NOT NULL,
  v TEXT NOT NULL, trade_count INTEGER NOT NULL, complete INTEGER NOT NULL, last_trade_id INTEGER NOT NULL,
  PRIMARY KEY (symbol, ts)
) STRICT, WITHOUT ROWID;
CREATE INDEX bars_1m_ts ON bars_1m (ts);

-- interval and next_ts in nanoseconds; interval is NULL until two funding times are known.
CREATE TABLE funding (
  ts INTEGER NOT NULL, symbol TEXT NOT NULL, rate TEXT NOT NULL, interval INTEGER, next_ts INTEGER NOT NULL,
  PRIMARY KEY (symbol, ts)
) STRICT, WITHOUT ROWID;
CREATE INDEX funding_ts ON funding (ts);

CREATE TABLE oi (
  ts INTEGER NOT NULL, symbol TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (symbol, ts)
) STRICT, WITHOUT ROWID;
CREATE INDEX oi_ts ON oi (ts);

-- One row per order, its newest status. id is the client order id.
CREATE TABLE orders (
  id TEXT PRIMARY KEY, ts INTEGER NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL, qty TEXT NOT NULL, px TEXT,
  type TEXT NOT NULL, tif TEXT NOT NULL, status TEXT NOT NULL, venue TEXT NOT NULL, stop_px TEXT, post_only INTEGER NOT NULL,
  role TEXT NOT NULL, strategy TEXT NOT NULL, intent_id TEXT NOT NULL, decision_id TEXT NOT NULL, protects TEXT NOT NULL,
  trace_id TEXT NOT NULL, venue_order_id TEXT NOT NULL, reason TEXT NOT NULL, check_id TEXT NOT NULL,
  updated_ts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX orders_ts ON orders (ts);
CREATE INDEX orders_symbol_ts ON orders (symbol, ts);

-- Our executions. id is the venue's, unique per symbol. fee_usdt is the fee in the quote asset, NULL when unknown.
CREATE TABLE fills (
  id TEXT NOT NULL, order_id TEXT NOT NULL, ts INTEGER NOT NULL, qty TEXT NOT NULL, px TEXT NOT NULL, fee_usdt TEXT,
  venue TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL, fee TEXT NOT NULL, fee_asset TEXT NOT NULL,
  liquidity TEXT NOT NULL, strategy TEXT,
  PRIMARY KEY (symbol, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX fills_ts ON fills (ts);
CREATE INDEX fills_order ON fills (order_id);

CREATE TABLE positions (
  symbol TEXT NOT NULL, strategy TEXT NOT NULL, qty TEXT NOT NULL, avg_price TEXT NOT NULL, realized_pnl TEXT NOT NULL,
  fees_paid TEXT NOT NULL, opened_ts INTEGER NOT NULL, updated_ts INTEGER NOT NULL,
  PRIMARY KEY (symbol, strategy)
) STRICT, WITHOUT ROWID;

-- symbol '*' is the whole account and alone has an equity; unrealized is NULL without a fresh mark.
CREATE TABLE pnl_snapshots (
  ts INTEGER NOT NULL, symbol TEXT NOT NULL, realized TEXT NOT NULL, unrealized TEXT, fees TEXT NOT NULL, equity TEXT,
  PRIMARY KEY (symbol, ts)
) STRICT, WITHOUT ROWID;
CREATE INDEX pnl_snapshots_ts ON pnl_snapshots (ts);

-- Holds raised and cleared, approvals, refusals, operator commands; payload is JSON.
CREATE TABLE risk_events (
  incarnation TEXT NOT NULL, sequence INTEGER NOT NULL, ts INTEGER NOT NULL, type TEXT NOT NULL, payload TEXT NOT NULL,
  PRIMARY KEY (incarnation, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX risk_events_ts ON risk_events (ts);

-- Every step in the life of every order, and holes in streams; payload is JSON.
CREATE TABLE events (
  source TEXT NOT NULL, incarnation TEXT NOT NULL, sequence INTEGER NOT NULL, ts INTEGER NOT NULL, type TEXT NOT NULL,
  symbol TEXT NOT NULL, order_id TEXT NOT NULL, payload TEXT NOT NULL,
  PRIMARY KEY (source, incarnation, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_ts ON events (ts);
CREATE INDEX events_symbol_ts ON events (symbol, ts);
CREATE INDEX events_order ON events (order_id);

-- Up to where each stream is written; changes in the same transaction as the rows.
CREATE TABLE stream_positions (
  source TEXT PRIMARY KEY, incarnation TEXT NOT NULL, sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Rows per table that only grows; counting tens of millions of rows at each question would take seconds.
CREATE TABLE row_counts (name TEXT PRIMARY KEY, rows INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- The second blueprint's shapes.
CREATE VIEW candles_1m AS
  SELECT symbol AS pair, ts AS t, o AS open, h AS high, l AS low, c AS close, v AS vol FROM bars_1m;
CREATE VIEW own_trades AS
  SELECT f.symbol AS pair, f.ts AS t, f.side, f.px AS price, f.qty, f.fee_usdt AS fee, f.order_id AS client_id,
         o.venue_order_id AS order_id
  FROM fills f LEFT JOIN orders o ON o.id = f.order_id;
