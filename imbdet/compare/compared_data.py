"""Checks that the runs learned from the same data, and were tested on the present test set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imbdet.compare.ground_truth import GroundTruth
from imbdet.compare.run_folders import RunFolder
from imbdet.data.summary import Annotations, DataSummary, find_difference, summarize_content
from imbdet.errors import UserError
from imbdet.evaluation.limits import MAX_DETECTIONS
from imbdet.evaluation.protocols import CocoProtocol, LvisProtocol
from imbdet.formats.lvis_json import FREQUENCIES
from imbdet.untrusted.reading import read_json


def check_test_set(runs: Sequence[RunFolder], truth: GroundTruth) -> list[str]:
    """Compare the test set with that on which the runs were evaluated.

    Returns:
        A sentence for each run that was evaluated on other annotations.

    Raises:
        UserError: the category ids of a run's detections meant other classes.
    """
    names = {category["id"]: category["name"] for category in truth.content["categories"]}
    now = summarize_content(truth.content)
    sentences = []
    for run in runs:
        earlier_names, before = _read_test_set(run.results_file(truth.name).parent)
        for category_id, name in earlier_names.items():
            if names.get(category_id) != name:
                raise UserError(
                    f"The results of {run.name} on '{truth.name}' are of other classes: the id "
                    f"{category_id!r} was {name!r} and is {names.get(category_id)!r}. Evaluate it "
                    "again, or bring back the annotations that it was evaluated on."
                )
        if before not in (None, now):
            sentences.append(
                f"{run.name} was evaluated on other annotations of '{truth.name}', {before}; "
                f"here its detections meet those of today, {now}."
            )
    return sentences


def common_limit(runs: Sequence[RunFolder], name: str) -> int:
    """The number of detections of a class in an image that counted on a test set.

    Raises:
        UserError: the runs were evaluated with different numbers.
    """
    limits = {run.name: _read_limit(run.results_file(name).parent) for run in runs}
    if len(set(limits.values())) > 1:
        found = " and ".join(f"{limit} in {run}" for run, limit in limits.items())
        raise UserError(
            f"The runs were evaluated on '{name}' with different TEST.MAX_DETECTIONS, {found}: "
            "evaluate them with the same."
        )
    return next(iter(limits.values()))


def find_protocol(runs: Sequence[RunFolder], truth: GroundTruth) -> CocoProtocol | LvisProtocol:
    """The protocol by which the runs were evaluated on a test set.

    Raises:
        UserError: they were evaluated with different limits of detections.
    """
    if truth.evaluator_type == "lvis":
        return LvisProtocol(truth.content)
    return CocoProtocol(truth.content, common_limit(runs, truth.name))


def find_frequencies(
    runs: Sequence[RunFolder], truth: GroundTruth
) -> tuple[dict[str, str], list[str]]:
    """Which classes are rare, common and frequent, according to the first run that says so.

    Returns:
        "r", "c" or "f" by class, where it is known, and a sentence for each run with other groups.
    """
    if truth.evaluator_type == "lvis":
        return LvisProtocol(truth.content).frequencies(), []
    names = {category["name"] for category in truth.content["categories"]}
    found = {run.name: _read_frequencies(run.results_file(truth.name).parent) for run in runs}
    found = {run: of_run for run, of_run in found.items() if of_run}
    if not found:
        return {}, []
    (first, frequencies), *others = found.items()
    return {name: frequencies[name] for name in frequencies if name in names}, [
        f"{run} was evaluated with other rare, common and frequent classes than {first}: those of "
        f"{first} count here."
        for run, of_run in others
        if of_run != frequencies
    ]


def compare_training_data(runs: Sequence[RunFolder]) -> list[str]:
    """A sentence for each run that learned from other data than the baseline."""
    baseline, *others = ((run, find_learned(run)) for run in runs)
    return [
        sentence
        for other in others
        if baseline[1] and other[1] and (sentence := _describe(*baseline, *other))
    ]


def _describe(first: RunFolder, learned: DataSummary, second: RunFolder, other: DataSummary) -> str:
    difference = find_difference(learned.classes, other.classes)
    if difference:
        return f"{second.name} learned other classes than {first.name}: {difference}."
    for name, annotations in learned.annotations.items():
        if name in other.annotations and other.annotations[name] != annotations:
            return (
                f"{second.name} learned from other annotations of '{name}', "
                f"{other.annotations[name]}, than {first.name}, {annotations}."
            )
    return ""


def find_learned(run: RunFolder) -> DataSummary | None:
    """The data that a training learned from, by its run.json; None if it has none."""
    starts = _read(run.folder / "run.json")
    summaries = [
        DataSummary.parse(start.get("data"))
        for start in (starts if isinstance(starts, list) else ())
        if isinstance(start, dict)
    ]
    return next((summary for summary in reversed(summaries) if summary), None)


def _read_test_set(folder: Path) -> tuple[dict[Any, str], Annotations | None]:
    """Names of the classes by id, and the annotations, as an evaluation found them."""
    metrics = _read(folder / "metrics.json")
    try:
        return dict(metrics["categories"]), Annotations(**metrics["annotations"])
    except (KeyError, TypeError, ValueError):
        return {}, None


def _read_frequencies(folder: Path) -> dict[str, str]:
    metrics = _read(folder / "metrics.json")
    found = metrics.get("frequencies") if isinstance(metrics, dict) else None
    known = found.items() if isinstance(found, dict) else ()
    return {name: group for name, group in known if group in list(FREQUENCIES)}


def _read_limit(folder: Path) -> int:
    metrics = _read(folder / "metrics.json")
    limit = metrics.get("max_detections") if isinstance(metrics, dict) else None
    return limit if isinstance(limit, int) and limit > 0 else MAX_DETECTIONS


def _read(path: Path) -> Any:
    """The content of a JSON file of a run; None if it is missing or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None
