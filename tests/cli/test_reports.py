"""The control report and the journal's proof as an operator reads them."""

from __future__ import annotations

from dataclasses import replace

from cli import render, views
from cli.output import MAX_COLUMNS

LONG = "many words " * 20
CONTROL = views.ControlView(
    "SIZ-02", "maximum order value", "ENFORCED", "", "max_pct_of_equity 10, max_notional 2000", ("15(1)(b)",),
    ("(c)(1)(ii)",), 0, "", False, 0, "", 0,
)  # fmt: skip
TESTED = replace(CONTROL, last_test_time_ns=10**18, last_test="limits self-test", last_test_passed=True)
BREACHED = replace(CONTROL, last_breach_time_ns=10**18, last_breach="ORDER_NOTIONAL_LIMIT 3 against 2 (d1)", breaches=7)


def report(*controls: views.ControlView) -> views.ControlReportView:
    return views.ControlReportView("demo", "ab" * 32, controls)


def row_of(*controls: views.ControlView) -> str:
    return render.control_lines(report(*controls))[3]


def test_what_never_happened_says_never() -> None:
    assert row_of(CONTROL).split() == ["SIZ-02", "never", "never", "0", "15(1)(b)", "(c)(1)(ii)"]


def test_a_test_and_a_breach_show_when_and_what() -> None:
    assert "09-09 01:46:40Z passed" in row_of(TESTED)
    assert "09-09 01:46:40Z FAILED" in row_of(replace(TESTED, last_test_passed=False))
    lines = render.control_lines(report(BREACHED))
    assert "09-09 01:46:40Z         7" in lines[3]
    assert "SIZ-02   ORDER_NOTIONAL_LIMIT 3 against 2 (d1)" in lines


def test_what_is_not_enforced_says_why_and_what_the_file_forgot_says_what_that_means() -> None:
    off = replace(CONTROL, check_id="POS-08", status="NOT_APPLICABLE", reason="single-venue account")
    lines = render.control_lines(report(CONTROL, off, replace(off, check_id="POS-09", status="UNDEFINED", reason="")))

    assert lines[0].endswith("1 of 3 enforced")
    assert lines[-2].endswith("NOT_APPLICABLE  single-venue account")
    assert lines[-1].endswith("UNDEFINED       every order is refused")


def test_a_failed_test_and_a_forgotten_check_are_findings_and_a_breach_is_none() -> None:
    assert report(CONTROL, TESTED, BREACHED).failed == []
    assert report(replace(TESTED, last_test_passed=False)).failed == ["SIZ-02"]
    assert report(replace(CONTROL, status="UNDEFINED")).failed == ["SIZ-02"]


def test_every_line_fits_the_screen() -> None:
    wide = replace(BREACHED, name=LONG, limit=LONG, last_breach=LONG, sec_15c3_5=(LONG,))
    lines = render.control_lines(report(wide, replace(wide, status="NOT_APPLICABLE", reason=LONG)))

    assert [line for line in lines if len(line) > MAX_COLUMNS] == []


def test_a_journal_as_signed_says_so_and_a_rewritten_one_says_where() -> None:
    good = views.ChainView(8, 2, 5, 10**18, 3, "0123456789abcdef", ())

    assert render.chain_lines(good)[-1] == "JOURNAL AS SIGNED"
    assert render.chain_lines(replace(good, problems=("its end was cut off",)))[-1] == "its end was cut off"
    assert "never" in render.chain_lines(views.ChainView(8, 0, 0, 0, 8, "k", ()))[2]


def test_why_a_control_was_not_tried_is_said() -> None:
    lines = render.control_lines(report(TESTED, replace(CONTROL, check_id="EXE-01", untested="execd enforces it")))

    assert "EXE-01   execd enforces it" in lines
