from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.exit_codes import Exit
from tests.support.history_files import MARKET, MS, make_market, write_frames, write_native_csv

MARKET_FLAG = ["--market", "BTCUSDT:0.1:0.001:binance:BTC-USDT"]


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["data", *arguments])
    return done.exit_code, done.output


def test_a_good_file_is_checked_with_exit_zero_and_counted(tmp_path: Path) -> None:
    made = make_market(400)
    path = write_frames(tmp_path / "a.log.gz", made, futures=False)
    code, text = run("check", str(path), *MARKET_FLAG, "--json")
    answer = json.loads(text)

    assert (code, answer["ok"], answer["errors"]) == (Exit.OK, True, 0)
    assert answer["report"]["rows"] == len(made.facts)
    assert answer["report"]["markets"][0]["instrument_id"] == MARKET.instrument_id
    code, text = run("check", str(path), *MARKET_FLAG)
    assert text.splitlines()[-1] == "no findings"


def test_unusable_data_are_exit_four_and_name_file_row_and_column(tmp_path: Path) -> None:
    made = make_market(400)
    for fact in made.facts:
        fact.local_ns -= 10 * MS
    path = write_native_csv(tmp_path / "a.csv", made)
    code, text = run("check", str(path), *MARKET_FLAG)

    assert code == Exit.FINDINGS
    assert "error    negative_latency" in text
    assert f"{path}: row 2, column local_time_ns: received" in text
    assert run("check", str(path), *MARKET_FLAG, "--correct")[0] == Exit.OK


def test_converting_writes_a_file_that_checks_without_being_told_its_steps(tmp_path: Path) -> None:
    made = make_market(400)
    for fact in made.facts:
        fact.local_ns -= 10 * MS
    source, out = write_native_csv(tmp_path / "a.csv", made), tmp_path / "a.parquet"
    refused, text = run("convert", str(source), str(out), *MARKET_FLAG)

    assert refused == Exit.USAGE
    assert "negative_latency" in text
    assert not out.exists()
    code, text = run("convert", str(source), str(out), *MARKET_FLAG, "--correct", "--base-latency-ms", "1", "--json")
    answer = json.loads(text)
    assert code == Exit.OK
    assert answer["rows_written"] == len(made.facts)
    assert answer["corrections"][MARKET.instrument_id]["rows_shifted"] == len(made.facts)
    assert run("check", str(out))[0] == Exit.OK


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "{csv}"], "does not describe its instrument: give --market SYMBOL:TICK:LOT"),
        (["check", "{csv}", "--market", "BTCUSDT:0.1"], "write SYMBOL:TICK:LOT"),
        (["check", "{csv}", "--market", "BTCUSDT:x:1"], "is not a decimal string"),
        (["check", "{csv}", "--market", "BTCUSDT:0:1"], "above zero"),
        (["check", "{csv}", "--market", "NOPEUSDT"], "no built-in rules; write NOPEUSDT:TICK:LOT"),
        (["convert", "{csv}"], "and then the file to write"),
        (["convert", "{csv}", "x.txt", *MARKET_FLAG], "must end with .parquet, .csv, .npz or .columns"),
        (["check", "absent.csv", *MARKET_FLAG], "no such file"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    csv = write_native_csv(tmp_path / "a.csv", make_market(100))
    code, text = run(*(argument.format(csv=csv) for argument in arguments))

    assert code in (Exit.USAGE, Exit.FINDINGS)
    assert says in " ".join(text.split())
