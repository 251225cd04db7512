"""`python -m backtest --strategy KIND --data FILE`: one backtest, its summary on standard output."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from backtest.config import BacktestOptions
from backtest.history.sources import ReadOptions
from backtest.history_feed import HistoryOptions
from backtest.instruments import parse_market
from backtest.latency import NS_PER_MS
from backtest.lookahead import DEFAULT_CUTS, LookaheadReport, check_lookahead
from backtest.run import run_backtest
from tradebot.core.errors import ConfigError, TradebotError

EXIT_OK = 0
EXIT_LOOKS_AHEAD = 1
EXIT_CONFIG = 2
EXIT_CRASH = 70
MAX_LATENCY_MS = 60_000.0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}: see --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code: 0 done, 1 looks ahead, 2 something to correct or nothing to judge, 70 crash."""
    try:
        args = _parse(argv)
        options = _options(args)
        result = check_lookahead(options, args.cuts, args.seed) if args.check_lookahead else run_backtest(options)
    except ConfigError as exc:
        print(f"backtest: {exc}", file=sys.stderr)
        return EXIT_CONFIG
    except TradebotError as exc:
        print(f"backtest: {exc}", file=sys.stderr)
        return EXIT_CRASH
    print(json.dumps(result.as_json(), sort_keys=True) if args.json else "\n".join(result.lines()))
    if not isinstance(result, LookaheadReport) or result.is_clean:
        return EXIT_OK
    return EXIT_LOOKS_AHEAD if result.looks_ahead else EXIT_CONFIG


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="python -m backtest", allow_abbrev=False, description=__doc__)
    parser.add_argument("--strategy", required=True, help="registered kind, or id in the configuration")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="market data; repeatable, see docs/data.md",
    )
    parser.add_argument(
        "--market", action="append", default=[], metavar="SYMBOL:TICK:LOT[:ID]", help="steps of a market"
    )
    parser.add_argument("--correct", action="store_true", help="correct the clocks of the data while reading")
    parser.add_argument("--base-latency-ms", type=float, default=0.0, help="least feed latency of corrected clocks")
    parser.add_argument("--feed-latency-ms", type=float, default=0.0, help="of files without receive times")
    parser.add_argument("--seed", type=int, default=1, help="of the synthetic market, when no file is given")
    parser.add_argument("--seconds", type=int, default=600, help="length of the synthetic market")
    parser.add_argument("--config", type=Path, default=None, metavar="FILE", help="environment file")
    parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="one strategy parameter")
    parser.add_argument("--strategy-path", action="append", default=[], metavar="PATH", help="own strategies")
    parser.add_argument("--symbols", default="", help="comma-separated venue symbols; default: all in the recording")
    parser.add_argument("--exchange-info", type=Path, default=None, metavar="FILE", help="saved trading rules")
    parser.add_argument("--events", type=Path, default=None, metavar="FILE", help="write every event, JSON lines")
    parser.add_argument("--out", type=Path, default=None, metavar="DIR", help="write the result tables, Parquet")
    parser.add_argument("--equity-every", type=float, default=1.0, metavar="SECONDS", help="resolution of the equity")
    parser.add_argument("--max-seconds", type=float, default=None, help="stop after so much recorded time")
    parser.add_argument("--in-process", action="store_true", help="no engine process, no gRPC: same log, faster")
    parser.add_argument("--check-lookahead", action="store_true", help="cut the future off and compare decisions")
    parser.add_argument("--cuts", type=int, default=DEFAULT_CUTS, help="how many cuts --check-lookahead makes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(argv)


def _options(args: argparse.Namespace) -> BacktestOptions:
    if not 0.001 <= args.equity_every <= 86_400:
        raise ConfigError(f"--equity-every {args.equity_every}: choose 0.001 to 86400 seconds")
    if args.seconds < 1:
        raise ConfigError(f"--seconds {args.seconds}: choose 1 or more")
    if args.max_seconds is not None and not 0 < args.max_seconds < math.inf:
        raise ConfigError(f"--max-seconds {args.max_seconds}: choose a number above 0")
    for name, value in (("base-latency-ms", args.base_latency_ms), ("feed-latency-ms", args.feed_latency_ms)):
        if not 0 <= value <= MAX_LATENCY_MS:
            raise ConfigError(f"--{name} {value}: choose 0 to {MAX_LATENCY_MS:.0f}")
    return BacktestOptions(
        strategy=args.strategy,
        data=args.data[0] if args.data else None,
        then=tuple(args.data[1:]),
        markets=tuple(parse_market(text) for text in args.market),
        history=HistoryOptions(
            ReadOptions(round(args.feed_latency_ms * NS_PER_MS)), args.correct, round(args.base_latency_ms * NS_PER_MS)
        ),
        seed=args.seed,
        seconds=args.seconds,
        config=args.config,
        params=dict(_parameter(text) for text in args.param),
        strategy_path=tuple(args.strategy_path),
        symbols=tuple(symbol for symbol in args.symbols.split(",") if symbol),
        exchange_info=args.exchange_info,
        events=args.events,
        out=args.out,
        equity_every_s=args.equity_every,
        max_seconds=args.max_seconds,
        in_process=args.in_process,
    )


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--param {text!r}: write it as name=value")
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError as exc:
        raise ConfigError(f"--param {text!r}: the value is not valid YAML") from exc


if __name__ == "__main__":
    sys.exit(main())
