"""docs/your-first-perpetual.md works as written, and its numbers are those that a slow calculation finds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

from backtest.config import BacktestOptions
from backtest.results.files import open_results
from backtest.run import run_backtest
from tests.backtest.perpetual_kit import Contract, Run, SlowLedger, fills_of

NAMES = ("short_over_funding.py", "perpetual.yaml", "tape.csv")


def test_the_documented_run_prints_the_documented_numbers(project_root: Path, tmp_path: Path) -> None:
    text = (project_root / "docs" / "your-first-perpetual.md").read_text(encoding="utf-8")
    strategy, tape = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (config,), (output,) = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("yaml", "text"))
    for name, content in zip(NAMES, (strategy, config), strict=False):
        (tmp_path / name).write_text(content)
    subprocess.run([sys.executable, "-c", tape], cwd=tmp_path, check=True, timeout=60, env=dict(os.environ))
    code, settings, data = (tmp_path / name for name in NAMES)

    result = run_backtest(
        BacktestOptions(
            "short_over_funding",
            data=data,
            config=settings,
            strategy_path=(str(code),),
            out=tmp_path / "tables",
            in_process=True,
        )
    )

    assert "\n".join(result.lines()) == output.strip()
    run = Run(result, b"", open_results(tmp_path / "tables"))
    entry, leaving = fills_of(run)
    slow = SlowLedger(Contract(), Fraction(10_000))
    slow.fill(entry["side"], Fraction(entry["qty"]), Fraction(entry["price"]), Fraction(entry["fee"]))
    slow.fund(Fraction("0.0001"), Fraction("60000.05"))
    slow.fill(leaving["side"], Fraction(leaving["qty"]), Fraction(leaving["price"]), Fraction(leaving["fee"]))
    assert slow.wallet == Fraction(result.equity)
    for number in (entry["price"], entry["fee"], leaving["price"], leaving["fee"]):
        assert f"{number.normalize():f}" in text
    for value in (slow.realized, slow.funding, slow.wallet):
        assert f"{float(value):.8f}".rstrip("0") in text
