"""Which published obligation each control answers: the catalogue's two columns for RTS 6 and SEC Rule 15c3-5.

We are no regulated firm; both are used as the strictest public specifications. RTS 6 is Commission Delegated Regulation
(EU) 2017/589; 15c3-5 is 17 CFR 240.15c3-5. Paragraphs as far as one paragraph is meant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Articles:
    """What a control answers."""

    rts6: tuple[str, ...]
    """Articles and paragraphs, e.g. `15(1)(a)`."""
    sec: tuple[str, ...]
    """Paragraphs of 240.15c3-5, e.g. `(c)(1)(ii)`."""


RTS6: Final = {
    "9": "self-assessment and validation",
    "11": "material changes",
    "12": "kill functionality",
    "13": "surveillance for manipulation",
    "14": "continuity",
    "15(1)(a)": "price collars, per order and over a period",
    "15(1)(b)": "maximum order value",
    "15(1)(c)": "maximum order volume",
    "15(1)(d)": "maximum messages",
    "15(2)": "every order sent counts at once",
    "15(3)": "repeated automated execution throttle",
    "15(4)": "market and credit limits",
    "15(5)": "no permission, or thresholds at risk: block",
    "15(6)": "blocked orders: no override but by the risk function",
    "16": "real-time monitoring",
    "17": "post-trade controls and reconciliation",
    "18": "security and limits to access",
}
"""Article -> what it asks for, in our words."""
SEC: Final = {
    "(b)": "controls and supervisory procedures",
    "(c)(1)(i)": "pre-set credit or capital thresholds in aggregate",
    "(c)(1)(ii)": "erroneous and duplicative orders",
    "(c)(2)(i)": "pre-order regulatory requirements",
    "(c)(2)(ii)": "restricted instruments",
    "(c)(2)(iii)": "authorized persons and systems only",
    "(c)(2)(iv)": "immediate post-trade reports to surveillance",
    "(d)": "direct and exclusive control",
    "(e)": "regular review of effectiveness",
}
"""Paragraph -> what it asks for, in our words."""

_ERRONEOUS: Final = ("(c)(1)(ii)",)
_CAPITAL: Final = ("(c)(1)(i)",)
_ACCESS: Final = ("(c)(2)(iii)",)
_REPORTS: Final = ("(c)(2)(iv)",)

FAMILY_ARTICLES: Final[dict[str, Articles]] = {
    "AUT": Articles(("18",), _ACCESS),
    "STA": Articles(("15(5)",), ("(b)",)),
    "MKT": Articles(("15(1)(a)",), _ERRONEOUS),
    "SPC": Articles(("15(1)(c)",), ("(c)(1)(ii)", "(c)(2)(i)")),
    "PRC": Articles(("15(1)(a)",), _ERRONEOUS),
    "SIZ": Articles(("15(1)(b)", "15(1)(c)"), _ERRONEOUS),
    "POS": Articles(("15(4)", "15(5)"), _CAPITAL),
    "RAT": Articles(("15(1)(d)",), _ERRONEOUS),
    "PNL": Articles(("15(4)", "16"), _CAPITAL),
    "EXE": Articles(("15(5)", "18"), ("(c)(2)(iii)", "(d)")),
    "PTR": Articles(("17",), _REPORTS),
}
"""Of a whole family, unless a check has its own."""
OWN_ARTICLES: Final[dict[str, Articles]] = {
    "AUT-01": Articles(("15(1)(c)",), _ERRONEOUS),
    "AUT-03": Articles(("15(1)(a)",), _ERRONEOUS),
    "AUT-04": Articles(("15(3)",), _ERRONEOUS),
    "AUT-05": Articles(("11",), ("(b)",)),
    "AUT-06": Articles(("16",), ("(b)",)),
    "AUT-07": Articles(("9",), ("(e)",)),
    "STA-01": Articles(("12", "15(5)"), ("(c)(1)(i)", "(d)")),
    "STA-05": Articles(("15(5)",), ("(c)(2)(ii)", "(c)(2)(iii)")),
    "STA-06": Articles(("15(2)",), _CAPITAL),
    "STA-09": Articles(("12", "14"), ("(e)",)),
    "SPC-01": Articles(("15(1)(a)",), ("(c)(1)(ii)", "(c)(2)(i)")),
    "SPC-04": Articles(("15(1)(b)",), ("(c)(1)(ii)", "(c)(2)(i)")),
    "SPC-06": Articles(("12", "18"), ("(c)(2)(iii)",)),
    "SPC-07": Articles(("15(1)(a)",), ("(c)(1)(ii)", "(c)(2)(i)")),
    "SIZ-01": Articles(("15(1)(c)",), _ERRONEOUS),
    "SIZ-02": Articles(("15(1)(b)",), _ERRONEOUS),
    "SIZ-03": Articles(("15(4)",), _CAPITAL),
    "SIZ-06": Articles(("15(1)(c)", "15(2)"), _ERRONEOUS),
    "SIZ-07": Articles(("15(4)",), _CAPITAL),
    "POS-01": Articles(("15(2)", "15(4)"), _CAPITAL),
    "POS-11": Articles(("15(2)", "15(4)"), _CAPITAL),
    "RAT-04": Articles(("13", "15(1)(d)"), ("(b)",)),
    "RAT-06": Articles(("15(3)",), _ERRONEOUS),
    "RAT-07": Articles(("15(3)",), _ERRONEOUS),
    "RAT-09": Articles(("13",), ("(c)(2)(i)",)),
    "RAT-10": Articles(("15(4)",), _CAPITAL),
    "PNL-08": Articles(("16",), _REPORTS),
    "PNL-09": Articles(("17",), _CAPITAL),
    "PTR-06": Articles(("16", "17"), _CAPITAL),
    "PTR-07": Articles(("14", "16"), ("(b)",)),
    "PTR-08": Articles(("14",), ("(b)",)),
    "PTR-09": Articles(("16",), _REPORTS),
    "PTR-10": Articles(("18",), _ACCESS),
}


def articles_of(check_id: str) -> Articles:
    """Return what a check answers."""
    return OWN_ARTICLES.get(check_id) or FAMILY_ARTICLES[check_id[:3]]
