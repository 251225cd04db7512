"""recorder: writes down what every stream says. The only process with write rights on the database; it decides
nothing, and trading never waits for it.

Pure: `tables` (operations), `batcher` (bounded queues), `tape` (trades, bars, funding, open interest),
`book_snapshots`, `order_rows`, `risk_rows`, `writer` (what a database must promise). Shells: `client` (streams in),
`shell` (who may go on, when a batch is written), `sqlite_store`, `service` (statistics out). Market data is dropped,
oldest first and counted, when the database cannot follow; orders and risk events never are: their streams are left
unread instead and resumed by sequence.
"""
