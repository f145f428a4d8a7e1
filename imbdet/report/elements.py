"""HTML as a tree: every text is escaped when the tree is written, wherever it comes from."""

import math
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

Child = Element | str


def element(tag: str, *children: Child, **attributes: str) -> Element:
    """An element with texts and elements in it.

    Args:
        tag: name of the element.
        children: texts and elements, in their order.
        attributes: values by name, where "_" stands for "-", and one at the end is dropped:
            ``class_``.
    """
    names = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
    node, last = Element(tag, names), None
    for child in children:
        if isinstance(child, Element):
            node.append(child)
            last = child
        elif last is None:
            node.text = (node.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return node


def to_html(nodes: Iterable[Element]) -> str:
    """The text of elements in a page."""
    return "".join(ET.tostring(node, encoding="unicode", method="html") for node in nodes)


def note(sentence: str) -> Element:
    """A sentence on why something is missing."""
    return element("p", sentence, class_="note")


def caption(text: str) -> Element:
    """A text on how to read what follows."""
    return element("p", text, class_="caption")


def section(title: str, *content: Element) -> Element:
    """A part of a tab with a heading."""
    return element("section", element("h2", title), *content)


def details(summary: str, *content: Element) -> Element:
    """Content that is folded until the reader opens it."""
    return element("details", element("summary", summary), *content)


def facts(pairs: Iterable[tuple[str, str]]) -> Element:
    """Names and values; those without a value are left out."""
    rows = [
        element("div", element("dt", name), element("dd", value)) for name, value in pairs if value
    ]
    return element("dl", *rows, class_="facts")


def sortable_table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], float_format: str = ".4g"
) -> Element:
    """A table that a click on a header sorts.

    Args:
        headers: names of the columns.
        rows: values, of which numbers are right-aligned, None is unknown, and others are texts.
        float_format: format of numbers that are not integers.
    """
    cells = [[_cell(value, float_format) for value in row] for row in rows]
    kinds = [cell.get("class", "") for cell in cells[0]] if cells else [""] * len(headers)
    buttons = [
        element("th", element("button", name, type="button"), aria_sort="none", class_=kind)
        for name, kind in zip(headers, kinds, strict=True)
    ]
    body = [element("tr", *row) for row in cells]
    table = element("table", element("thead", element("tr", *buttons)), element("tbody", *body))
    return element("div", table, class_="table", tabindex="0")


def _cell(value: object, float_format: str) -> Element:
    if value is None:
        value = math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return element("td", str(value))
    text = f"{value:,}" if isinstance(value, int) else f"{value:{float_format}}"
    text = "-" if math.isnan(value) else text
    return element("td", text, class_="number", data_value=repr(float(value)))
