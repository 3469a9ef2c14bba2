"""Findings for people: what is good in a line, what is not with why it matters and what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from feed.doctor.finding import Finding, Status

__all__ = ["show"]

_WORDS: dict[Status, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "better": ("better", "yellow"),
    "broken": ("BROKEN", "bold red"),
    "unknown": ("?", "cyan"),
}
_PLURAL: dict[Status, str] = {
    "ok": "ok",
    "better": "could be better",
    "broken": "broken",
    "unknown": "could not be read",
}


def show(findings: Sequence[Finding]) -> RenderableType:
    """Two columns, so that it fits any terminal: the verdict, and all that belongs to it below each other."""
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, width=6)
    table.add_column(overflow="fold")
    subject = ""
    for each in findings:
        if each.subject != subject:
            subject = each.subject
            table.add_row("", Text(subject, style="bold"))
        word, style = _WORDS[each.status]
        table.add_row(Text(word, style=style), _told(each))
    return Group(table, Text(), _summary(findings))


def _told(finding: Finding) -> Text:
    text = Text(f"{finding.check}: {finding.found}")
    if finding.status != "ok":
        text.append(f"\n{finding.why}", style="dim")
        if finding.command:
            text.append(f"\n$ {finding.command}", style="bold")
    return text


def _summary(findings: Sequence[Finding]) -> Text:
    counts = {status: sum(each.status == status for each in findings) for status in _WORDS}
    return Text(", ".join(f"{count} {_PLURAL[status]}" for status, count in counts.items() if count))
