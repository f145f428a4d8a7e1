"""Conclusions from the numbers of a run or a comparison, which claim no more than these show."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from imbdet.report.elements import element, section
from imbdet.report.result_files import CannotShow, Columns, read_json, read_table, reading, split
from imbdet.run_files.best_evaluation import BestEvaluation
from imbdet.wording import counted

# Percentage points by which one kind of error must exceed the other to be called the larger.
_CLEAR = 10
# A class is called confused with another from this number and share of its objects on.
_MIN_CONFUSED, _MIN_SHARE = 5, 0.05
# The AP of a class with fewer objects is a matter of chance.
_FEW_OBJECTS = 10
_MAX_NAMED = 5


def conclusion(sentences: Iterable[str]) -> list[Element]:
    """A section with the sentences, if there are any."""
    items = [element("li", sentence) for sentence in sentences]
    return [section("Conclusion", element("ul", *items, class_="verdict"))] if items else []


def judge_training(
    settings: Mapping[str, Any], last: int, best: BestEvaluation | None = None
) -> list[str]:
    """Whether the training was as long as its schedule.

    Args:
        settings: values of ``config.yaml``.
        last: number of iterations done, 0 if it is not known.
        best: its best evaluation, if it keeps one.
    """
    solver = settings["SOLVER"]
    end, steps = solver["MAX_ITER"], solver["STEPS"]
    if best is not None and best.has_stalled(settings["TEST"]["BEST"]["PATIENCE"]):
        return [
            f"The training stopped early, after {last:,} of {end:,} iterations: {best.metric} did "
            f"not get better in the last {counted(best.num_without_gain, 'evaluation')}."
        ]
    if 0 < last < end:
        return [
            f"The training has done {last:,} of {end:,} iterations: its numbers are those of an "
            "unfinished run."
        ]
    has_steps = steps and solver["LR_SCHEDULER_NAME"] == "WarmupMultiStepLR"
    if last >= end and has_steps and min(steps) >= end:
        return [
            f"The training ended after {end:,} iterations, before the first of SOLVER.STEPS "
            f"({min(steps):,}): the learning rate was never lowered, which usually raises AP. Do "
            "not compare it with a training that went on."
        ]
    return []


def judge_evaluation(folder: Path) -> list[str]:
    """Sentences about the metrics of a data set, from its folder below ``inference``."""
    path = folder / "metrics.json"
    evaluation = read_json(path)
    with reading(path):
        found = next(iter(evaluation["metrics"].values()))
        sentences = _judge_classes(found["per_class"])
        sentences += _judge_errors(evaluation.get("optimal_lrp", {}))
    try:
        curves = read_json(folder / "curves.json")
        with reading(folder / "curves.json"):
            sentences += _judge_confusion(curves["confusion"])
    except CannotShow:
        pass  # an evaluation of an earlier version has no curves
    return [f"{folder.name}: {sentence}" for sentence in sentences]


def _judge_classes(per_class: Mapping[str, Mapping[str, Any]]) -> list[str]:
    known = {name: v for name, v in per_class.items() if v["AP"] is not None}
    few = [name for name, v in known.items() if v["objects"] < _FEW_OBJECTS]
    sentences = []
    if len(known) > 1:
        best, worst = (choose(known, key=lambda n: known[n]["AP"]) for choose in (max, min))
        described = [
            f"the {word} class is {name} (AP {known[name]['AP']:.1f}, "
            f"{counted(known[name]['objects'], 'object')})"
            for word, name in (("best", best), ("worst", worst))
        ]
        if known[best]["AP"] == known[worst]["AP"]:
            described = [f"all classes have an AP of {known[best]['AP']:.1f}"]
        sentences.append(f"{'; '.join(described)}.")
    if few:
        names = ", ".join(few[:_MAX_NAMED]) + (", ..." if len(few) > _MAX_NAMED else "")
        sentences.append(
            f"{counted(len(few), 'class has', 'classes have')} fewer than {_FEW_OBJECTS} objects "
            f"({names}): AP of so few is a matter of chance."
        )
    return sentences


def _judge_errors(best: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    used = [value for value in best.values() if value["fp"] is not None]
    with_objects = [value for value in best.values() if value["olrp"] is not None]
    if not with_objects:
        return []
    if not used:
        return ["no class is worth detecting: keeping no detection at all makes the fewest errors."]
    wrong, missed = (np.mean([value[key] for value in used]) for key in ("fp", "fn"))
    if abs(wrong - missed) < _CLEAR:
        which = "neither stands out"
    else:
        which = f"{'missed objects' if missed > wrong else 'wrong detections'} are the larger part"
    sentences = [
        f"at the best thresholds {wrong:.0f} % of the detections are wrong and {missed:.0f} % of "
        f"the objects are missed, in the mean of {counted(len(used), 'class', 'classes')}; {which}."
    ]
    if len(used) < len(with_objects):
        sentences.append(
            f"{len(with_objects) - len(used)} of {len(with_objects)} classes are best not "
            "detected at all: no threshold gets enough of their objects right."
        )
    return sentences


def _judge_confusion(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    totals: dict[str, int] = {}
    for entry in entries:
        totals[entry["object"]] = totals.get(entry["object"], 0) + entry["count"]
    mixed = [
        entry
        for entry in entries
        if None not in (entry["object"], entry["detection"])
        and entry["object"] != entry["detection"]
        and entry["count"] >= max(_MIN_CONFUSED, _MIN_SHARE * totals[entry["object"]])
    ]
    if len(totals.keys() - {None}) < 2:
        return []
    if not mixed:
        return ["no class is often taken for another."]
    most = max(mixed, key=lambda entry: entry["count"])
    return [
        f"most confused: {most['count']:,} of {counted(totals[most['object']], 'object')} of "
        f"{most['object']} are taken for {most['detection']}."
    ]


def judge_comparison(tables: Path) -> list[str]:
    """Sentences on which runs are better than the baseline, as far as the test images decide it.

    Args:
        tables: folder of tables that ``imbdet compare`` wrote.
    """
    path = tables / "coco.parquet"
    table = read_table(path)
    with reading(path):
        baseline, *others = split(table, "run").items()
        sentences = [_judge_run(run, rows, baseline[0]) for run, rows in others]
    for name, judge in (("class_ap", _judge_class_changes), ("curves", _judge_lengths)):
        try:
            table = read_table(tables / f"{name}.parquet")
            with reading(tables / f"{name}.parquet"):
                sentences += judge(table)
        except CannotShow:
            pass  # the tab of the figures says why
    return [
        *sentences,
        "The intervals are over the chance of the test images. Each run is one training: other "
        "seeds may differ by more, which several trainings of each would tell.",
    ]


def _judge_run(run: str, rows: Columns, baseline: str) -> str:
    (place,) = np.flatnonzero(rows["metric"] == "AP")
    value, change, low, high = (
        float(rows[name][place])
        for name in ("value", "difference", "difference_low", "difference_high")
    )
    verdict = str(rows["difference_verdict"][place])
    interval = "without an interval" if np.isnan(low) else f"[{low:+.1f}, {high:+.1f}]"
    numbers = f"AP {value:.1f}, {change:+.1f} {interval}"
    if verdict not in ("better", "worse"):
        return f"Whether {run} is better or worse than {baseline} is undecided: {numbers}."
    return f"{run} is {verdict} than {baseline}: {numbers}."


def _judge_class_changes(table: Columns) -> list[str]:
    sentences = []
    for run, rows in list(split(table, "run").items())[1:]:
        verdicts = [str(verdict) for verdict in rows["difference_verdict"]]
        known = [verdict for verdict in verdicts if verdict]
        if len(known) > 1:
            sentences.append(
                f"{run}: of {len(known)} classes {known.count('better')} gain, "
                f"{known.count('worse')} lose, {known.count('undecided')} are undecided."
            )
    return sentences


def _judge_lengths(table: Columns) -> list[str]:
    losses = {name: values[table["scalar"] != "AP"] for name, values in table.items()}
    ends = {run: int(rows["iteration"].max()) + 1 for run, rows in split(losses, "run").items()}
    if len(set(ends.values())) < 2:
        return []
    lengths = ", ".join(f"{run} {end:,}" for run, end in ends.items())
    return [f"The trainings are not equally long ({lengths} iterations), which AP shows, too."]
