"""`tradebot sample-data`: a recording of the synthetic market, byte-identical for the same arguments.

The format is that of real recordings: one line per frame, `<receive time ns> <raw combined-stream frame>`, with the
REST depth snapshot of a symbol as a line without a stream right after its first diff. It plays with --replay, and
backtests read it.
"""

from __future__ import annotations

import gzip
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cli.call import Call
from cli.commands import UsageError
from cli.exit_codes import Exit
from simexchange.config import DEFAULT_SYMBOLS
from simexchange.recording import synthetic_lines
from tradebot.core.errors import ConfigError

VENUE: Final = "binance"
START_NS: Final = 1_767_225_600_000_000_000
"""2026-01-01 00:00 UTC: a fixed start makes the file depend on nothing but its arguments."""
NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What was written."""

    file: Path
    seed: int
    seconds: int
    symbols: tuple[str, ...]
    lines: int
    bytes: int


def run(call: Call, out: Path, seed: int, seconds: int, symbols: tuple[str, ...]) -> int:
    """Write the file."""
    unknown = [symbol for symbol in symbols if symbol not in DEFAULT_SYMBOLS]
    if unknown:
        raise UsageError(f"--symbols {','.join(unknown)}: the synthetic market has {', '.join(DEFAULT_SYMBOLS)}")
    try:
        lines = write_sample(out, seed, seconds, symbols)
    except OSError as exc:
        raise ConfigError(f"{out}: cannot be written ({(exc.strerror or str(exc)).lower()})") from exc
    sample = Sample(out, seed, seconds, symbols, lines, out.stat().st_size)
    call.answer(sample, [f"{out}: {lines} frames, {sample.bytes / 1e6:.1f} MB, {seconds} s of {', '.join(symbols)}"])
    return Exit.OK


def write_sample(out: Path, seed: int, seconds: int, symbols: tuple[str, ...]) -> int:
    """Write the recording, whole or not at all; return the number of its lines."""
    markets = {name: DEFAULT_SYMBOLS[name] for name in symbols}
    lines = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    with partial.open("wb") as raw, _packed(raw, out) as file:
        for receive_ns, frame in synthetic_lines(VENUE, markets, seed, START_NS, seconds * NS_PER_S):
            file.write(b"%d %b\n" % (receive_ns, frame))
            lines += 1
    partial.replace(out)
    return lines


def _packed(raw: BinaryIO, out: Path) -> AbstractContextManager[BinaryIO | gzip.GzipFile]:
    """Return what to write to: readers take a file for gzip by its name."""
    if out.suffix != ".gz":
        return nullcontext(raw)
    return gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0)  # mtime 0: the same market, the same bytes
