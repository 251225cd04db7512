"""Links between daemons on one machine: gRPC over HTTP/2 on Unix sockets, without the gRPC library's threads.

On the wire it is ordinary gRPC: any client can call these sockets and any server can be dialled (tests hold it
against grpcio both ways). Left out is what daemons on one machine do not need: TLS, compression, retries, proxies.
Why it exists: a message costs a third of what it costs through grpc.aio, in CPU and in latency, because a frame is
parsed and handed over in the loop's own thread (docs/adr/0001-daemon-links.md, `make bench ONLY=tick_to_wire_p50`).

`frames` is the format, `stream` one call's messages and flow control, `connection` the frame loop; `server`, `channel`
and `call` are the two ends with the part of grpc.aio's interface that daemons use, `status` the way a call ends.
"""
