"""How a panel, a row, a variable and a dashboard look in Grafana's JSON (schema 41: Grafana 11.6 and 12)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Dashboard", "Expr", "heatmap", "lines", "number", "states", "table", "variable"]

Json = dict[str, Any]

SCHEMA = 41
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
TARGET_LINE = {
    "matcher": {"id": "byRegexp", "options": "^target.*"},
    "properties": [
        {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
        {"id": "custom.lineWidth", "value": 2},
        {"id": "custom.fillOpacity", "value": 0},
        {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}},
    ],
}
"""A series whose name begins with "target" is drawn as a dashed line."""


@dataclass(frozen=True)
class Expr:
    """What one panel asks for: PromQL, and the name of each series that it gives."""

    text: str
    legend: str = ""


def lines(
    title: str, why: str, unit: str, *exprs: Expr, width: int = 12, stacked: bool = False, log: bool = False
) -> Json:
    """Time lines. `why` says what one can learn from it. `log`: a logarithmic scale, for latencies."""
    custom: Json = {
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 8,
        "showPoints": "never",
        "spanNulls": 5000,
        "stacking": {"mode": "normal" if stacked else "none"},
        "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
    }
    panel = _panel("timeseries", title, why, width, 8, exprs)
    panel["fieldConfig"] = {
        "defaults": {"unit": unit, "custom": custom, **({} if log else {"min": 0})},
        "overrides": [TARGET_LINE],
    }
    panel["options"] = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def number(title: str, why: str, unit: str, expr: Expr, *, width: int = 4, red_above: float | None = None) -> Json:
    """One figure now, green until it passes `red_above`."""
    steps: list[Json] = [{"color": "green" if red_above is not None else "text", "value": None}]
    if red_above is not None:
        steps.append({"color": "red", "value": red_above})
    panel = _panel("stat", title, why, width, 4, (expr,))
    panel["fieldConfig"] = {
        "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}},
        "overrides": [],
    }
    panel["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
    }
    return panel


def heatmap(title: str, why: str, expr: Expr, *, width: int = 12) -> Json:
    """A histogram's buckets over time, in seconds; the darker a cell, the more ticks."""
    panel = _panel("heatmap", title, why, width, 8, (expr,))
    panel["targets"][0]["format"] = "heatmap"
    panel["fieldConfig"] = {"defaults": {"custom": {"scaleDistribution": {"type": "linear"}}}, "overrides": []}
    panel["options"] = {
        "calculate": False,
        "yAxis": {"unit": "s", "axisPlacement": "left"},
        "rowsFrame": {"layout": "le"},
        "cellValues": {"unit": "short"},
        "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.4, "steps": 64},
        "filterValues": {"le": 1e-9},
        "tooltip": {"mode": "single", "yHistogram": True},
        "legend": {"show": False},
    }
    return panel


def states(title: str, why: str, expr: Expr, *, names: dict[str, tuple[str, str]], width: int = 24) -> Json:
    """A bar for each series that changes its colour with its value; `names`: value to (word, colour)."""
    options = {value: {"text": word, "color": colour} for value, (word, colour) in names.items()}
    panel = _panel("state-timeline", title, why, width, 7, (expr,))
    panel["fieldConfig"] = {
        "defaults": {"mappings": [{"type": "value", "options": options}], "custom": {"fillOpacity": 80}},
        "overrides": [],
    }
    panel["options"] = {"showValue": "never", "mergeValues": True, "legend": {"showLegend": False}}
    return panel


def table(
    title: str, why: str, key: str, columns: dict[str, tuple[str, str]], *, link: str = "", height: int = 10
) -> Json:
    """A line for each value of label `key`; `columns`: heading to (unit, PromQL that has no other label than `key`).

    `link`: where a click on the key leads, with ``${__value.text}`` for it.
    """
    refs = {heading: chr(ord("A") + i) for i, heading in enumerate(columns)}
    panel = _panel("table", title, why, COLUMNS, height, [Expr(text) for _, text in columns.values()])
    for target in panel["targets"]:
        target |= {"format": "table", "instant": True, "range": False}
    panel["transformations"] = [
        {"id": "joinByField", "options": {"byField": key, "mode": "outer"}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {name: True for i in range(1, len(refs) + 1) for name in ("Time", f"Time {i}")},
                "renameByName": {f"Value #{ref}": heading for heading, ref in refs.items()},
            },
        },
    ]
    overrides: list[Json] = [
        {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": "unit", "value": unit}]}
        for heading, (unit, _) in columns.items()
    ]
    if link:
        to = [{"title": "Only this one", "url": link}]
        overrides.append(
            {"matcher": {"id": "byName", "options": key}, "properties": [{"id": "links", "value": to}]},
        )
    panel["fieldConfig"] = {"defaults": {}, "overrides": overrides}
    panel["options"] = {"showHeader": True, "cellHeight": "sm"}
    return panel


@dataclass
class Dashboard:
    """One dashboard; panels flow from left to right in the order in which they are added."""

    name: str
    """Also its uid and file: tickcast-NAME. Never change it: links and bookmarks have it."""
    why: str
    variables: tuple[Json, ...] = ()
    others: tuple[str, ...] = ()
    """The dashboards that it links to."""
    panels: list[Json] = field(default_factory=list)
    _x: int = 0
    _y: int = 0
    _below: int = 0

    def row(self, title: str, *panels: Json) -> None:
        """A heading and the panels under it."""
        self._x, self._y = 0, self._below
        self._put({"type": "row", "title": title, "collapsed": False, "panels": []}, COLUMNS, 1)
        for panel in panels:
            self._put(panel, panel["gridPos"]["w"], panel["gridPos"]["h"])

    def json(self) -> Json:
        return {
            "uid": f"tickcast-{self.name}",
            "title": f"tickcast {self.name}",
            "description": self.why,
            "tags": ["tickcast"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "5s",
            "time": {"from": "now-15m", "to": "now"},
            "timezone": "browser",
            "timepicker": {"refresh_intervals": ["1s", "5s", "10s", "30s", "1m", "5m"]},
            "templating": {"list": [_DATASOURCE, _INSTANCE, *self.variables]},
            "annotations": {"list": []},
            "links": [
                {
                    "type": "link",
                    "title": other,
                    "url": f"/d/tickcast-{other}",
                    "icon": "dashboard",
                    "keepTime": True,
                    "includeVars": True,
                }
                for other in self.others
            ],
            "panels": self.panels,
        }

    def _put(self, panel: Json, width: int, height: int) -> None:
        if self._x + width > COLUMNS:
            self._x, self._y = 0, self._below
        panel["id"] = len(self.panels) + 1
        panel["gridPos"] = {"x": self._x, "y": self._y, "w": width, "h": height}
        self.panels.append(panel)
        self._x += width
        self._below = max(self._below, self._y + height)


def variable(name: str, label: str, query: str, *, many: bool) -> Json:
    """A choice of label values at the top of a dashboard; `many`: several, or all of them."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
        "current": {"text": ["All"], "value": ["$__all"]} if many else {},
        "options": [],
    }


_DATASOURCE = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}
_INSTANCE = variable("instance", "Feed", "label_values(tickcast_build_info, instance)", many=False)


def _panel(kind: str, title: str, why: str, width: int, height: int, exprs: tuple[Expr, ...] | list[Expr]) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": why,
        "datasource": SOURCE,
        "gridPos": {"x": 0, "y": 0, "w": width, "h": height},
        "targets": [
            {
                "refId": chr(ord("A") + i),
                "datasource": SOURCE,
                "editorMode": "code",
                "expr": expr.text,
                "legendFormat": expr.legend,
                "range": True,
            }
            for i, expr in enumerate(exprs)
        ],
    }
