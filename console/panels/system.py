"""Every figure that the daemons report, with version, uptime and venue connections."""

from __future__ import annotations

from console import text as t
from console.panels.daemons import daemon_state, link_state
from console.panels.words import matches
from console.staleness import mark
from console.table import Panel
from console.text import Line, Span, Tone, line
from console.view import View

LABEL_WIDTH = 34


def system_panel(view: View, width: int, needle: str = "") -> Panel:
    """Return one block of lines per daemon."""
    rows: list[tuple[str, Line]] = []
    for item in view.daemons:
        word, tone = daemon_state(item)
        head = (Span(f" {item.daemon:<11}", Tone.STRONG), Span(f"{word:<7}", tone), Span(f"{t.age(item.age_ns):>4} "))
        if item.beat is None:
            rows.append((item.daemon, (*head, Span("never heard of", Tone.MUTED))))
            continue
        beat = item.beat
        uptime = t.age(max(0, view.now_ns - beat.started_ns))
        facts = f" up {uptime}  version {beat.version}  mode {beat.mode}  run {beat.incarnation[:8]}"
        rows.append((item.daemon, (*head, Span(facts, Tone.MUTED))))
        if beat.summary:
            rows.append((f"{item.daemon}.summary", line(Span(f"   {t.printable(beat.summary)}", Tone.P3))))
        for name, value in beat.items:
            shown = mark(t.printable(value), item.freshness)
            rows.append((f"{item.daemon}.{name}", line(Span(f"   {t.left(name, LABEL_WIDTH)} ", Tone.MUTED), shown)))
        for index, link in enumerate(view.links):
            if link.daemon == item.daemon:
                word, tone = link_state(link)
                name = t.left(f"{link.link.venue} {link.link.channel}", LABEL_WIDTH)
                content = line(Span(f"   {name} ", Tone.MUTED), Span(word, tone), f"  {t.age(link.age_ns)}")
                rows.append((f"{item.daemon}.link{index}", content))
    shown_rows = [row for row in rows if matches(f"{row[0]} {t.plain(row[1])}", needle)]
    return Panel(
        f"System{f'  filter {needle!r}' if needle else ''}",
        tuple(key for key, _ in shown_rows),
        lambda index: t.fit_line(shown_rows[index][1], width),
        empty="nothing known",
    )
