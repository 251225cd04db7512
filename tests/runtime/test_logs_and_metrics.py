"""Logs are JSON with secrets hidden; metrics are served per daemon."""

from __future__ import annotations

import json
import logging
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tradebot.core.errors import ConfigError
from tradebot.runtime.config import LogConfig, MetricsConfig
from tradebot.runtime.logs import MAX_TEXT_CHARS, configure_logs
from tradebot.runtime.metrics import Metrics


class LogLines:
    """What a configured process wrote to standard error."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._text = ""

    def text(self) -> str:
        self._text += self._capture.readouterr().err
        return self._text

    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.text().splitlines()[-1])
        return line


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[LogLines]:
    """structlog is put back afterwards."""
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield LogLines(capsys)
    root.handlers[:] = handlers
    structlog.reset_defaults()


def test_a_line_is_json_with_daemon_severity_time_and_values(log_lines: LogLines) -> None:
    configure_logs("riskd", LogConfig())
    structlog.get_logger("x").info("hold_raised", level="HALTED", count=2, ratio=0.5, ok=True, nothing=None)
    line = log_lines.last()

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "hold_raised",
        "daemon": "riskd",
        "severity": "info",
        "level": "HALTED",
        "count": 2,
        "ratio": 0.5,
        "ok": True,
        "nothing": None,
    }


def test_the_daemon_name_is_on_lines_of_every_thread(log_lines: LogLines) -> None:
    configure_logs("execd", LogConfig())
    thread = threading.Thread(target=lambda: structlog.get_logger().warning("from_thread"))
    thread.start()
    thread.join()

    assert log_lines.last()["daemon"] == "execd"


@pytest.mark.parametrize("key", ["api_key", "apiKey", "secret", "api_secret", "password", "Authorization", "signature"])
def test_values_under_secret_sounding_keys_are_hidden_at_any_depth(log_lines: LogLines, key: str) -> None:
    configure_logs("execd", LogConfig())
    structlog.get_logger().info("sent", request={"headers": [{key: "canary-123"}]}, **{key: "canary-456"})

    assert "canary" not in log_lines.text()


def test_secrets_the_process_has_read_are_hidden_wherever_they_appear(log_lines: LogLines) -> None:
    configure_logs("execd", LogConfig(), secrets=lambda: frozenset({"canary-secret", "tiny"}))
    try:
        raise RuntimeError("GET /order?key=canary-secret failed")
    except RuntimeError as exc:
        structlog.get_logger().error("failed", url="https://x/?k=canary-secret&tiny", error=exc, exc_info=exc)
    line = log_lines.last()

    assert "canary-secret" not in log_lines.text()
    assert "RuntimeError" in line["exception"]
    assert line["url"] == "https://x/?k=***&tiny"  # hiding very short words would only garble the text


def test_what_libraries_log_becomes_a_line_too_and_is_redacted(log_lines: LogLines) -> None:
    configure_logs("execd", LogConfig(), secrets=lambda: frozenset({"canary-secret"}))
    logging.getLogger("somelib").warning("retrying %s", "https://x/?k=canary-secret")
    logging.getLogger("somelib").info("chatter")
    line = log_lines.last()

    assert (line["library"], line["text"], line["severity"]) == ("somelib", "retrying https://x/?k=***", "warning")


def test_an_overlong_value_is_cut(log_lines: LogLines) -> None:
    configure_logs("execd", LogConfig())
    structlog.get_logger().info("page", body="x" * 100_000)

    assert len(log_lines.last()["body"]) == MAX_TEXT_CHARS + 1


def test_lines_below_the_level_are_dropped(log_lines: LogLines) -> None:
    configure_logs("execd", LogConfig(level="warning"))
    structlog.get_logger().info("quiet")

    assert log_lines.text() == ""


def test_a_log_file_is_bounded_by_rotation(tmp_path: Path, log_lines: LogLines) -> None:
    path = tmp_path / "logs" / "riskd.log"
    configure_logs("riskd", LogConfig(max_file_mib=1, kept_files=1), path)
    for _ in range(900):
        structlog.get_logger().info("line", text="x" * 4_000)
    logging.getLogger("tradebot.log").handlers[0].close()

    assert sorted(item.name for item in path.parent.iterdir()) == ["riskd.log", "riskd.log.1"]
    assert sum(item.stat().st_size for item in path.parent.iterdir()) < 2.1 * (1 << 20)


def test_an_unusable_log_file_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match=r"log file /proc/tradebot/x\.log cannot be opened"):
        configure_logs("riskd", LogConfig(), Path("/proc/tradebot/x.log"))


def test_metrics_are_served_under_the_daemons_name() -> None:
    with Metrics("riskd") as metrics:
        metrics.counter("denied_calls_total", "Calls refused.", ("role",)).labels("viewer").inc(3)
        metrics.serve(MetricsConfig(ports={"riskd": 0}))
        text = urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics", timeout=5).read().decode()

    assert 'tradebot_riskd_denied_calls_total{role="viewer"} 3.0' in text
    assert "process_resident_memory_bytes" in text


def test_metrics_are_off_unless_a_port_is_given() -> None:
    with Metrics("riskd") as metrics:
        metrics.serve(MetricsConfig(ports={"execd": 0}))

        assert metrics.port is None


def test_a_taken_metrics_port_is_one_clear_line() -> None:
    with Metrics("riskd") as first, Metrics("execd") as second:
        first.serve(MetricsConfig(ports={"riskd": 0}))
        assert first.port is not None
        with pytest.raises(ConfigError, match=rf"metrics\.ports\.execd {first.port} on 127\.0\.0\.1 cannot be used"):
            second.serve(MetricsConfig(ports={"execd": first.port}))
