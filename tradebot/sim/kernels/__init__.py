"""The matching simulator as compiled kernels: integers in ticks and lots, columns in, no Python object per row.

`api` is what a compiled strategy calls, `terms` says what is simulated, `simulator` runs it, `feed` checks the data.
The other modules: `jit` (compile once, keep on disk), `memory` (one block of 64-bit words per market), `layout` (what
each word is), `book`, `queues`, `orders`, `stops`, `impact`, `perpetual`, `matching` (a pass over rows), `requests`
(orders arriving), `latency`, `local` (the strategy's side), `clock`. A venue that somebody else drives, with the orders
of several accounts: `venue` (rows and requests, call by call) and `meeting` (our orders among what is on offer).

Two clocks. A row happens at the exchange at its exchange time and is seen by the strategy at its local time; requests
and responses travel with their own latencies. The exchange side runs ahead up to the strategy's next wake in one tight
loop; the strategy's view of the book is the exchange's book as it was a few rows earlier (docs/simulator.md).
"""
