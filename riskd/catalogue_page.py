"""docs/risk-checks.md, made from the catalogue; `riskd.catalogue_shell` prints it."""

from __future__ import annotations

from riskd.articles import RTS6, SEC
from riskd.catalogue import CATALOGUE, COMMON_REASONS, FAMILIES, CheckSpec

_HEAD = """# Risk checks

Generated from `riskd/catalogue.py` by `python -m riskd.catalogue_shell > docs/risk-checks.md`; a test keeps it current.

Checks run in this order and every violation is reported; the first one gives the refusal its code. Any check also
refuses with {common}: an input that is missing or stale, a limit that the file does not define, an error inside the
check. The limits file (`config/limits/<profile>.yaml`) says for every check of riskd whether it is `enforced` or
`not_applicable` and why; a check that the file does not mention refuses every order. riskd does not start with a file
that switches off one of these: {mandatory}.

*When*: P with the intent as a whole, O with each venue message, R also for orders that only reduce a position;
*always*: the account is watched, a breach raises a hold ([holds](holds.md)). P without O is what a part of a parent
cannot make worse: its size, stop, reason and what it puts at risk are the parent's, which is reserved as a whole.
Everything without R is skipped for those, and the decision says so: what is broken may not forbid closing.

The last two columns name what a control answers in RTS 6 (Commission Delegated Regulation (EU) 2017/589) and in SEC
Rule 15c3-5 (17 CFR 240.15c3-5). `tradebot report controls` shows the same table with limits, tests and breaches.

At each start, and after each change of limits, riskd gives every enforced control of its own one ask or event that it
must refuse or hold; where a limit is too wide to be reached, or a control is execd's, the report says so.
"""


def render_page() -> str:
    """Return the page."""
    common = ", ".join(f"`{reason}`" for reason in COMMON_REASONS)
    parts = [_HEAD.format(common=common, mandatory=", ".join(s.check_id for s in CATALOGUE if s.mandatory))]
    for family, title in FAMILIES.items():
        rows = [spec for spec in CATALOGUE if spec.family == family]
        parts.append(
            f"\n## {family}: {title}\n\n| check | name | rule | default | scope | when | reasons | RTS 6 | 15c3-5 |\n"
        )
        parts.append("|---|---|---|---|---|---|---|---|---|\n")
        parts.extend(_row(spec) for spec in rows)
    parts.append("\n## What the articles ask for, in our words\n\n| article | asks for |\n|---|---|\n")
    parts.extend(f"| RTS 6 {article} | {words} |\n" for article, words in RTS6.items())
    parts.extend(f"| 15c3-5{paragraph} | {words} |\n" for paragraph, words in SEC.items())
    return "".join(parts)


def _row(spec: CheckSpec) -> str:
    reasons = ", ".join(f"`{reason}`" for reason in spec.reasons)
    rule = spec.definition.replace("|", "\\|")
    return (
        f"| {spec.check_id} | {spec.name} | {rule} ({spec.severity.value}) | {spec.default} | {spec.scope} "
        f"| {_when(spec)} | {reasons} "
        f"| {' '.join(spec.articles.rts6)} | {' '.join(spec.articles.sec)} |\n"
    )


def _when(spec: CheckSpec) -> str:
    if not spec.configurable:
        return "execd"
    if spec.watched:
        return "always"
    return "".join(letter for letter, on in (("P", spec.parent), ("O", spec.order), ("R", spec.reducing)) if on)
