"""One Prometheus endpoint per process, with a registry of its own so that tests and embedded daemons never collide.

Counting is cheap but not free (about 0.3 us): hot loops add up locally and report per batch.
"""

from __future__ import annotations

from threading import Thread
from types import TracebackType
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, start_http_server

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import MetricsConfig

LATENCY_BUCKETS_S = (50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0, 5.0)
"""From one loop turn to the ask deadline and beyond."""


class RunningTotal:
    """A counter fed now and then with a total that somebody else keeps, such as a core that knows no metrics."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._told: dict[tuple[str, ...], float] = {}

    def set(self, total: float, *labels: str) -> None:
        """Bring the counter (of these labels) up to the total, which never falls."""
        counter = self._counter.labels(*labels) if labels else self._counter
        counter.inc(total - self._told.get(labels, 0))
        self._told[labels] = total


class Metrics:
    """Metrics of one daemon. Names get the prefix `tradebot_<daemon>_`."""

    def __init__(self, daemon: str) -> None:
        self.registry = CollectorRegistry()
        self._daemon = daemon
        self._server: WSGIServer | None = None
        self._thread: Thread | None = None
        self.port: int | None = None
        """Port in use, None while off."""
        ProcessCollector(registry=self.registry)

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(name, help_text, labels, namespace="tradebot", subsystem=self._daemon, registry=self.registry)

    def total(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> RunningTotal:
        return RunningTotal(self.counter(name, help_text, labels))

    def gauge(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, help_text, labels, namespace="tradebot", subsystem=self._daemon, registry=self.registry)

    def histogram(
        self, name: str, help_text: str, labels: tuple[str, ...] = (), buckets: tuple[float, ...] = LATENCY_BUCKETS_S
    ) -> Histogram:
        return Histogram(
            name,
            help_text,
            labels,
            namespace="tradebot",
            subsystem=self._daemon,
            registry=self.registry,
            buckets=buckets,
        )

    def serve(self, config: MetricsConfig) -> None:
        """Start the endpoint in its own thread, or do nothing when it is off.

        Raises:
            ConfigError: If the port is taken or the host is not ours.
        """
        port = config.ports.get(self._daemon, "off")
        if port == "off":
            return
        try:
            self._server, self._thread = start_http_server(port, config.host, registry=self.registry)
        except OSError as exc:
            raise ConfigError(
                f"metrics.ports.{self._daemon} {port} on {config.host} cannot be used "
                f"({(exc.strerror or str(exc)).lower()}): choose a free port, 0 or off"
            ) from exc
        self.port = self._server.server_port

    def close(self) -> None:
        """Stop the endpoint."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = self.port = None

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
