"""The report as one HTML page that needs nothing else: numbers, looks and plotly.js in one file.

The page computes nothing: what it shows was computed here, and it chooses. Text reaches it as JSON
and is only ever set as text.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCRIPTS = (
    *("words.js", "controls.js", "charts.js", "figure.js", "curve.js", "beside.js"),
    *("compare.js", "table.js", "checks.js", "main.js"),
)


def page(content: Mapping[str, Any]) -> str:
    """The whole page; equal content gives an equal page."""
    parts = {
        "TITLE": html.escape(str(content["title"])),
        "STYLE": (HERE / "page.css").read_text(encoding="utf-8"),
        "PLOTLY": plotly(),
        "SCRIPT": "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS),
        "DATA": embedded(content),
    }
    text = (HERE / "page.html").read_text(encoding="utf-8")
    for name, part in parts.items():  # the data last, so that nothing in it is taken for a mark
        text = text.replace(f"<!--{name}-->", part, 1)
    return text


def embedded(content: Mapping[str, Any]) -> str:
    """JSON that no script element can be left by."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def plotly() -> str:
    """The text of plotly.js; found, not imported: plotly itself takes its time."""
    from importlib.util import find_spec

    found = find_spec("plotly")
    assert found is not None and found.origin is not None
    file = Path(found.origin).parent / "package_data" / "plotly.min.js"
    return file.read_text(encoding="utf-8")
