"""Interactive drawings: one pair of axes each, so that a page can set them side by side or not.

Colours are the page's, light or dark: a trace names its place in the palette by ``meta``.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import plotly.graph_objects as go

from imbdet.report.elements import element

DASHES = ("solid", "dash", "dashdot", "dot", "longdash", "longdashdot")
PATTERNS = ("", "/", ".", "x", "-", "+")

LOG_AXIS = {"type": "log", "dtick": 1, "exponentformat": "power"}


@dataclass(frozen=True)
class Plot:
    """A drawing.

    Attributes:
        title: in a few words.
        figure: its traces and layout; its frames, if any, are the stretches of a slider.
        height: in pixels.
    """

    title: str
    figure: go.Figure
    height: int = 300

    def to_element(self) -> Element:
        """What the page's script turns into the drawing."""
        # plotly writes "<" and ">" so that they cannot end the script.
        data = element("script", self.figure.to_json(), type="application/json")
        style = f"height:{self.height}px"
        canvas = element("div", class_="canvas", style=style, role="img", aria_label=self.title)
        return element("div", element("h3", self.title), canvas, data, class_="plot")


def grid(plots: Sequence[Plot]) -> Element:
    """Plots side by side, as many as there is room for."""
    return element("div", *(plot.to_element() for plot in plots), class_="plots")


def plain(text: object) -> str:
    """A text for a plot, which would read tags as styles."""
    return html.escape(str(text), quote=False)


def new_figure(*traces: Any, x: str = "", y: str = "", **layout: Any) -> go.Figure:
    """A figure with titles of its axes, all traces hovered over together.

    Args:
        traces: of plotly.
        x: title of the x axis.
        y: title of the y axis.
        layout: more of plotly's layout, such as ``yaxis_type="log"``.
    """
    figure = go.Figure(traces, {"xaxis_title_text": x, "yaxis_title_text": y})
    # The nearest point answers, however far it is.
    hover = {"hovermode": "x unified", "hoverdistance": -1}
    figure.update_layout(template="none", showlegend=len(traces) > 1, **hover)
    return figure.update_layout(layout)


def line(name: str, index: int, x: Any, y: Any, **options: Any) -> go.Scatter:
    """A curve with the color and the dashes of an index."""
    style = {"mode": "lines", "line_dash": DASHES[index % len(DASHES)], "line_width": 2}
    return go.Scatter(
        x=np.asarray(x), y=np.asarray(y), name=plain(name), meta=index, **{**style, **options}
    )


def stairs(name: str, index: int, edges: Any, values: Any, **options: Any) -> go.Scatter:
    """A histogram as steps: (B,) values between (B + 1,) edges; the last one stands twice."""
    values = np.asarray(values)
    style = {"line_shape": "hv", **options}
    return line(name, index, edges, np.append(values, values[-1]), **style)


def bars(name: str, index: int, x: Sequence[str], y: Any) -> go.Bar:
    """Bars with the color and the pattern of an index, over names."""
    pattern = PATTERNS[index % len(PATTERNS)]
    return go.Bar(
        x=[plain(label) for label in x],
        y=np.asarray(y),
        name=plain(name),
        meta=index,
        marker_pattern_shape=pattern,
        marker_pattern_solidity=0.25,
    )
