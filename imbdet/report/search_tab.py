"""The trials of a search, its cost and its decisions, from ``search.json``."""

import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from imbdet.report.elements import caption, section, sortable_table
from imbdet.report.result_files import read_json, reading
from imbdet.report.verdict import conclusion

SEARCH_FILE = "search.json"
_ARMS = (
    "AP in percent of the validation split at the last iteration that an arm was brought to, over "
    "its seeds; the difference is to the baseline, at the last iteration that both were compared "
    "at, with an interval that holds for all arms and all comparisons of the search at once."
)
_FINAL = "AP in percent of '{dataset}', which the search never saw, with seeds of its own."


def search_content(folder: Path) -> list[Element]:
    """The sentences, the arms and the final comparison."""
    path = folder / SEARCH_FILE
    content = read_json(path)
    with reading(path):
        return [
            *conclusion(content["sentences"]),
            *_final_section(content["final"]),
            section("Arms", caption(_ARMS), _arm_table(content["arms"])),
        ]


def _arm_table(arms: list[Mapping[str, Any]]) -> Element:
    headers = ("arm", "iteration", "seeds", "AP", "deviation")
    headers += ("difference", "low", "high", "at", "fate")
    rows = []
    for arm in arms:
        aps = arm["aps"]
        ap = statistics.mean(aps) if aps else None
        deviation = statistics.stdev(aps) if len(aps) > 1 else None
        difference = arm["difference"] or {}
        ends = [difference.get(name) for name in ("value", "low", "high")]
        own = (arm["arm"], arm["iteration"], len(aps), ap, deviation)
        rows.append((*own, *ends, arm["difference_at"], arm["fate"]))
    return sortable_table(headers, rows, ".2f")


def _final_section(final: Mapping[str, Any] | None) -> Iterator[Element]:
    if final is None:
        return
    columns = {"seed": final["seeds"], "the winner": final["winner"]}
    if final["difference"] is not None:  # otherwise the baseline is the winner
        columns["the baseline"] = final["baseline"]
    table = sortable_table(tuple(columns), zip(*columns.values(), strict=True), ".2f")
    yield section("Final comparison", caption(_FINAL.format(dataset=final["dataset"])), table)
