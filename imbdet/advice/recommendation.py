"""Remedies for the problems that were found, in words and as choices of a search."""

import textwrap
from collections.abc import Iterator, Sequence

from imbdet.advice.findings import Finding
from imbdet.advice.remedies import Part, Problem, Remedy, read_problems
from imbdet.config_files.addresses import PREFIX

_LINES = {"here": "evidence here", "papers": "in papers", "not": "do not expect"}


def recommend(findings: Sequence[Finding], kind: str) -> Iterator[str]:
    """Each problem that was found with its remedies, then the other problems in a line.

    Args:
        findings: findings of the data.
        kind: kind of the detector, "one_stage" or "two_stage".
    """
    known, others = {finding.name for finding in findings}, []
    for problem in read_problems():
        reasons = [f.reason for f in findings if f.is_found and f.name in problem.findings]
        if reasons:
            yield _wrap(f"{problem.heading}: {'; '.join(reasons)}", "")
            for remedy in remedies_for(problem, findings, kind):
                yield from _describe(remedy)
        else:
            others.append(f"{problem.heading}: {'no' if problem.findings & known else 'unknown'}.")
    if others:
        yield _wrap(" ".join(others), "")


def remedies_for(problem: Problem, findings: Sequence[Finding], kind: str) -> list[Remedy]:
    """The problem's remedies for what was found that a kind of detector can have."""
    found = {finding.name for finding in findings if finding.is_found}
    return [
        remedy
        for remedy in problem.remedies
        if found.intersection(remedy.findings)
        and (not remedy.choices or any(kind in kinds for kinds in remedy.choices.values()))
    ]


def meant_choices(findings: Sequence[Finding], kind: str) -> dict[str, list[Part]]:
    """The parts of each method for what was found, by its name; pieces by their addresses."""
    return {
        name: [f"{PREFIX}{p}.yaml" if isinstance(p, str) else p for p in kinds[kind]]
        for problem in read_problems()
        for remedy in remedies_for(problem, findings, kind)
        for name, kinds in remedy.choices.items()
        if kind in kinds
    }


def _describe(remedy: Remedy) -> Iterator[str]:
    yield _wrap(remedy.say("try"), "  - ")
    for column, name in _LINES.items():
        if remedy.columns[column]:
            yield _wrap(f"{name}: {remedy.say(column)}", " " * 6)


def _wrap(text: str, start: str) -> str:
    indent = " " * (len(start) + 2)
    return textwrap.fill(
        text, 100, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False
    )
