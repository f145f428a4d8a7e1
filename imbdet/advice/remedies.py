"""Remedies for problems of training data, and the evidence for them.

``evidence.yaml`` beside this file is their only source; the tables of docs/which_method.md are
made of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from imbdet.untrusted.plain_yaml import load_yaml

# The columns of a table in docs/which_method.md.
_COLUMNS = {
    "try": "try first",
    "here": "evidence here",
    "papers": "in papers",
    "not": "do not expect",
}
# A link of Markdown, whose text may have one pair of brackets, that of an interval.
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)]*)\)")

# A piece of configs/ by its name, or values of keys.
Part = str | Mapping[str, Any]


@dataclass(frozen=True)
class Remedy:
    """A remedy for a problem.

    Attributes:
        columns: its cells in the table, in Markdown: "try", "here" (the evidence of this project),
            "papers" and "not" (what not to expect); an empty cell is not shown.
        findings: names of the findings that it is meant for.
        choices: parts that set a choice of a search on a "one_stage" or "two_stage" detector, by
            the choice's name; a kind that is missing cannot have it.
        measured: origins of the intervals in "here", in their order: "results", a file of
            docs/results/ without its ending, "method" and "metric".
    """

    columns: Mapping[str, str]
    findings: Sequence[str]
    choices: Mapping[str, Mapping[str, Sequence[Part]]] = field(default_factory=dict)
    measured: Sequence[Mapping[str, str]] = ()

    def say(self, column: str) -> str:
        """The text of a cell without links and marks of code."""
        return LINK.sub(r"\1", self.columns[column]).replace("`", "").replace("*", "")


@dataclass(frozen=True)
class Problem:
    """A problem of training data.

    Attributes:
        name: such as "rare_classes".
        heading: heading of its section in docs/which_method.md.
        remedies: the remedies for it.
    """

    name: str
    heading: str
    remedies: Sequence[Remedy]

    @property
    def findings(self) -> set[str]:
        """Names of all findings that one of the remedies is meant for."""
        return {finding for remedy in self.remedies for finding in remedy.findings}

    def table(self) -> str:
        """The remedies as a table in Markdown."""
        rows = [list(_COLUMNS.values()), ["---"] * len(_COLUMNS)]
        rows += [list(remedy.columns.values()) for remedy in self.remedies]
        # An empty cell has one space.
        return "\n".join(f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in r)}|" for r in rows)


@cache
def read_problems() -> tuple[Problem, ...]:
    """All problems, in the order of the page."""
    content = load_yaml(Path(__file__).with_name("evidence.yaml").read_text())
    return tuple(
        Problem(name, problem["heading"], [_read(remedy) for remedy in problem["remedies"]])
        for name, problem in content.items()
    )


def _read(remedy: Mapping[str, Any]) -> Remedy:
    return Remedy(
        columns={name: remedy[name] for name in _COLUMNS},
        findings=remedy["for"],
        choices=remedy.get("choices", {}),
        measured=remedy.get("measured", ()),
    )


def renew_tables(page: str) -> str:
    """The page, with the table of the problem NAME between each ``<!-- remedies: NAME -->`` and
    ``<!-- end of table -->``."""
    tables = {problem.name: problem.table() for problem in read_problems()}
    return re.sub(
        r"(<!-- remedies: (\w+) -->\n).*?(\n<!-- end of table -->)",
        lambda match: f"{match[1]}\n{tables[match[2]]}\n{match[3]}",
        page,
        flags=re.DOTALL,
    )
