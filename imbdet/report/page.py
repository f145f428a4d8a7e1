"""The page around the tabs: one file that needs no other."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from xml.etree.ElementTree import Element

from imbdet.report.elements import element, to_html


@dataclass(frozen=True)
class Tab:
    """A part of the page that is shown alone.

    Attributes:
        name: name of one word, which is in its address as well.
        content: elements in it.
    """

    name: str
    content: Sequence[Element]


def render(title: str, subtitle: str, tabs: Sequence[Tab]) -> str:
    """The whole page.

    Args:
        title: heading.
        subtitle: a line below it.
        tabs: the first one is open.
    """
    buttons = [
        element(
            "button",
            tab.name,
            type="button",
            role="tab",
            id=f"tab-{tab.name.lower()}",
            aria_controls=tab.name.lower(),
        )
        for tab in tabs
    ]
    panels = [
        element(
            "div",
            *tab.content,
            role="tabpanel",
            id=tab.name.lower(),
            aria_labelledby=f"tab-{tab.name.lower()}",
            tabindex="-1",
        )
        for tab in tabs
    ]
    return Template(_file("page.html")).substitute(
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        style=_file("page.css"),
        tabs=to_html(buttons),
        panels=to_html(panels),
        script=_file("page.js"),
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
