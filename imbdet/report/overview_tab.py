"""The overview of a run, from ``run.json``, ``config.yaml`` and the metrics."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from imbdet.config_files.keys import leaves
from imbdet.report.elements import caption, details, element, facts, note, section, sortable_table
from imbdet.report.evaluation_tab import KINDS, evaluation_folders
from imbdet.report.result_files import CannotShow, read_json, read_yaml, reading
from imbdet.report.training_tab import read_log
from imbdet.report.verdict import (
    conclusion,
    judge_comparison,
    judge_evaluation,
    judge_training,
)
from imbdet.run_files.best_evaluation import BestEvaluation
from imbdet.run_files.training_log import TrainingLog
from imbdet.wording import counted

Settings = Mapping[str, Any]
_HEADLINES = ("AP", "AP50", "AP75")


def overview_content(folder: Path) -> list[Element]:
    """The main numbers of a run, and a description of the run."""
    parts = {
        "What it was": ("run.json", lambda path: _describe_start(last_start(path))),
        "Detector": ("config.yaml", lambda path: _describe_settings(read_yaml(path))),
        "Methods": ("run.json", lambda path: _describe_methods(last_start(path)["methods"])),
        "Training": ("metrics.json", lambda path: _describe_training(read_log(path))),
        "Best evaluation": ("config.yaml", _describe_best),
    }
    sections, reasons = [], []
    for title, (name, describe) in parts.items():
        try:
            with reading(folder / name):
                if found := describe(folder / name):
                    sections.append(section(title, facts(found)))
        except CannotShow as reason:
            reasons.append(str(reason))
    columns = [element("div", *sections, class_="columns")] if sections else []
    # Two parts may miss the same file.
    notes = map(note, dict.fromkeys(reasons))
    return [*_headlines(folder), *conclusion(_judge(folder)), *columns, *notes]


def comparison_content(folder: Path) -> list[Element]:
    """The conclusion of a comparison."""
    return conclusion(judge_comparison(folder / "tables"))


def _judge(folder: Path) -> Iterator[str]:
    """Sentences about the evaluations and the training; other tabs name files that are damaged."""
    for path in sorted(folder.glob("inference/*/metrics.json")):
        with contextlib.suppress(CannotShow):
            yield from judge_evaluation(path.parent)
    with contextlib.suppress(CannotShow):
        settings = read_yaml(folder / "config.yaml")
        log = read_log(folder / "metrics.json")
        with reading(folder / "config.yaml"):
            best = _best_evaluation(folder, settings)
            yield from judge_training(settings, log.iterations_done, best)


def configuration_content(folder: Path) -> list[Element]:
    """The keys that differ from the defaults, and all keys."""
    content = []
    try:
        start = last_start(folder / "run.json")
        with reading(folder / "run.json"):
            rows = [
                (key, _write(default), _write(value), "yes" if key in start["overrides"] else "")
                for key, (default, value) in start["changed_keys"].items()
            ]
        headers = "key", "default", "this run", "on the command line"
        text = "The keys whose values are not the defaults of Detectron2 and imbdet."
        content.append(section("Changed keys", caption(text), sortable_table(headers, rows)))
    except CannotShow as reason:
        content.append(note(str(reason)))
    try:
        settings = read_yaml(folder / "config.yaml")
        with reading(folder / "config.yaml"):
            rows = [(key, _write(value)) for key, value in leaves(settings)]
        content.append(details(f"All {len(rows)} keys", sortable_table(("key", "value"), rows)))
    except CannotShow as reason:
        content.append(note(str(reason)))
    return content


def last_start(path: Path) -> Settings:
    """The entry of the last training in a ``run.json``, or of the last start if there is none."""
    starts = read_json(path)
    with reading(path):
        trainings = [start for start in starts if start["task"] == "training"]
        return (trainings or starts)[-1]


def _headlines(folder: Path) -> Iterator[Element]:
    """The main metrics of each data set, in large letters."""
    for dataset, name in evaluation_folders(folder).items():
        path = dataset / "metrics.json"
        if not path.exists():
            continue  # the tab of the evaluation says so
        try:
            evaluation = read_json(path)
            with reading(path):
                for kind, found in evaluation["metrics"].items():
                    title = f"{KINDS.get(kind, kind).capitalize()} of {name}"
                    num_images = counted(evaluation["num_images"], "image")
                    num_classes = counted(len(found["per_class"]), "class", "classes")
                    yield section(
                        title, caption(f"{num_images}, {num_classes}"), _large(found["overall"])
                    )
        except CannotShow as reason:
            yield note(str(reason))


def _large(overall: Mapping[str, float | None]) -> Element:
    numbers = [
        element("div", element("dt", name), element("dd", _percent(overall[name])))
        for name in (*_HEADLINES, _last_recall(overall))
    ]
    return element("dl", *numbers, class_="headlines")


def _last_recall(overall: Mapping[str, float | None]) -> str:
    """The recall of the most detections: "AR@100", or of another TEST.MAX_DETECTIONS."""
    return max(filter(lambda name: name.startswith("AR@"), overall), key=lambda name: int(name[3:]))


def _describe_start(start: Settings) -> Sequence[tuple[str, str]]:
    seed = start["seed"]
    return (
        ("started", start["time"].replace("T", " ")),
        ("command", start["command"]),
        ("changed keys", f"{len(start['changed_keys'])}, see Configuration"),
        ("training data", ", ".join(start["datasets"]["train"])),
        ("test data", ", ".join(start["datasets"]["test"])),
        ("seed", "random" if seed is None else str(seed)),
        ("device", start["gpu"] or start["device"]),
        ("processes", str(start["num_processes"])),
        ("platform", start["platform"]),
        ("versions", ", ".join(f"{name} {value}" for name, value in start["versions"].items())),
    )


def _describe_settings(settings: Settings) -> Sequence[tuple[str, str]]:
    model, solver = settings["MODEL"], settings["SOLVER"]
    end = solver["MAX_ITER"]
    steps = [f"{step:,}" for step in solver["STEPS"] if step < end]
    return (
        ("architecture", model["META_ARCHITECTURE"]),
        ("backbone", _describe_backbone(model)),
        ("images in a batch", str(solver["IMS_PER_BATCH"])),
        ("optimizer", f"{solver['OPTIMIZER']}, learning rate {solver['BASE_LR']:g}"),
        ("iterations", f"{end:,}"),
        ("lower rate from", ", ".join(steps) or "no iteration"),
    )


def _describe_backbone(model: Settings) -> str:
    """The name of the backbone, and the network or depth that its builder reads."""
    name = str(model["BACKBONE"]["NAME"])
    if "timm" in name:
        return f"{name}, {model['TIMM']['NAME']}"
    return f"{name}, depth {model['RESNETS']['DEPTH']}" if "resnet" in name else name


def _describe_methods(methods: Settings) -> Sequence[tuple[str, str]]:
    return (
        ("sampler of positives", methods["positive_sampler"]),
        ("sampler of negatives", methods["negative_sampler"]),
        ("weighting", ", ".join(methods["weightings"]) or "none"),
        ("classification loss", methods["cls_loss"]),
        ("box loss", methods["box_loss"]),
        ("CARL", "on" if methods["carl"] else "off"),
    )


def _describe_training(log: TrainingLog) -> Sequence[tuple[str, str]]:
    seconds, last = log.seconds, log.iterations_done
    return (
        ("iterations done", f"{last:,}"),
        ("time", f"about {_write_time(seconds)}, without evaluations"),
        ("time of an iteration", f"{seconds / last:.3f} s" if last else ""),
    )


def _describe_best(path: Path) -> Sequence[tuple[str, str]]:
    """The best evaluation; empty for a run that keeps none, or was not evaluated yet."""
    best = _best_evaluation(path.parent, read_yaml(path))
    if best is None or not best.iteration:
        return ()
    return (
        ("metric", best.metric),
        ("value", f"{best.value:.3f}"),
        ("after", counted(best.iteration, "iteration")),
        ("weights", "model_best.pth"),
    )


def _best_evaluation(folder: Path, settings: Settings) -> BestEvaluation | None:
    """The content of ``best.json``; None without the file or TEST.BEST.METRIC."""
    path = folder / "best.json"
    if not settings.get("TEST", {}).get("BEST", {}).get("METRIC") or not path.exists():
        return None
    found = read_json(path)
    with reading(path):
        return BestEvaluation(**found)


def _write_time(seconds: float) -> str:
    minutes, hours = round(seconds / 60), seconds / 3600
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{hours:.1f} h"


def _write(value: Any) -> str:
    return repr(value) if value == "" or isinstance(value, list) else str(value)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
