"""Drawings in the page: SVGs as images, in which browsers run no scripts."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imbdet.drawing.style import new_figure, plain, to_svg
from imbdet.report.elements import element

# Width in inches of a drawing beside others.
WIDTH = 4.4


@dataclass(frozen=True)
class Plot:
    """A drawing with a heading.

    Attributes:
        title: heading of a few words.
        figure: figure that was drawn under :data:`STYLE`.
    """

    title: str
    figure: Figure

    def to_element(self) -> Element:
        """The drawing as a part of a page."""
        picture = zoomable(svg_address(to_svg(self.figure)), self.title, class_="drawing")
        return element("div", element("h3", self.title), picture, class_="plot")


def grid(plots: Sequence[Plot]) -> Element:
    """Plots side by side, as many as there is room for."""
    return element("div", *(plot.to_element() for plot in plots), class_="plots")


def new_axes(x: str, y: str, height: float = 2.9, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure of one pair of axes, with their titles.

    Args:
        x: title of the x axis.
        y: title of the y axis.
        height: height in inches.
        width: width in inches.
    """
    figure = new_figure(height, width)
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.grid()
    return figure, axes


def add_names(figure: Figure, axes: Axes) -> None:
    """Add a legend of all that has a name, in two columns below the axes."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, map(plain, labels), loc="outside lower center", ncols=2)


def svg_address(content: bytes) -> str:
    """A data URL of an SVG."""
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"


def zoomable(address: str, alt: str, **attributes: str) -> Element:
    """A picture that a click or Enter opens at its full size."""
    image = element("img", src=address, alt=alt, loading="lazy", **attributes)
    return element("button", image, type="button", class_="zoom")
