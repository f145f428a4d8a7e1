"""Folders as trainings and analyses leave them, with known contents."""

import json
from argparse import Namespace

import numpy as np
import torch
from PIL import Image

from imbdet.config import load_config
from imbdet.engine.run_info import write_run_info
from imbdet.figures.assigners import assigners
from imbdet.figures.boosting import Boosting, variants
from imbdet.figures.calibration import EntryScores
from imbdet.figures.class_frequency import Frequencies
from imbdet.figures.class_scores import class_scores
from imbdet.figures.columns import SIGNS
from imbdet.figures.gradient_ratio import ChosenEntries
from imbdet.figures.gradient_shares import EntryGradients, box_gradients
from imbdet.figures.hardness import hardness
from imbdet.figures.imbalance import imbalance
from imbdet.figures.overlap import overlaps
from imbdet.figures.rank_histogram import rank_histogram
from imbdet.figures.sampling_distribution import sampling_distribution
from imbdet.figures.score_distributions import ScoreWeights
from imbdet.figures.score_shift import ImageScores
from imbdet.figures.study import write_study
from imbdet.records import JointHistograms
from imbdet.records.folder import RecordFolder
from imbdet.records.histograms import to_npz
from imbdet.structures.classifiers import SIGMOID
from tests.analysis.problems import SAMPLERS, random_table
from tests.records.factories import make_record

# A class that would run if a text of the data became a part of the page.
SCRIPT = "<script>document.title = 'harm'</script>"
CLOSING = "</script><b>bold"
CLASSES = [SCRIPT, CLOSING, "1e5"]
SITES = ("rpn", "roi_heads")


def all_numbers():
    """The numbers of each figure of an analysis, by its name."""
    rng = np.random.default_rng(0)
    chunk = random_table(3000)
    positives = {f"error_d{name}": rng.normal(size=200) for name in "xywh"}
    positives["negatives_above"] = rng.integers(0, 40, 200)
    positives["local_rank"] = rng.integers(0, 3, 200)
    positives["is_gt"] = np.arange(200) > 190
    objects = {"class": rng.integers(0, 3, 50), "area": 10 ** rng.uniform(1, 4, 50)}
    objects["num_positives"] = rng.integers(0, 9, 50)
    assigned = {"assigner": np.repeat(["atss", "fcos"], 25), "area": objects["area"]}
    assigned |= {name: rng.integers(0, 9, 50) for name in ("num_positives", "num_ambiguous")}
    assigned["sum_ious"] = assigned["num_positives"] * rng.random(50)
    scores = torch.rand(300, 3, generator=torch.Generator().manual_seed(0)) ** 3
    labels = torch.arange(300) % 5 - 1
    gradients = EntryGradients(num_bins=30, alpha=0.25, gamma=2.0)
    gradients.add(scores, labels.clamp(max=3), SIGMOID)
    entry_scores = EntryScores(score_thresh=0.05)
    entry_scores.add(scores, labels.clamp(max=3))
    score_weights = ScoreWeights(lambda_pos=1.0, lambda_neg=0.08, margin=0.5)
    score_weights.add(scores, labels.clamp(max=3))
    image_scores = ImageScores()
    for part in (slice(100), slice(100, 300)):
        image_scores.add(scores[part], labels[part].clamp(max=3))
    entries = ChosenEntries(3)
    entries.add(scores, labels.clamp(max=3))
    frequencies = Frequencies(np.bincount(objects["class"], minlength=3), "object")
    own = {"class": np.arange(90) % 3, "score": rng.random(90), "is_gt": np.arange(90) > 80}
    curves = {(v, iou): rng.random(101) for v in variants() for iou in (0.5, 0.75)}
    return {
        "sampling_distribution": sampling_distribution([chunk]),
        "hardness": hardness([chunk]),
        "gradients_cls": gradients.result(),
        "gradients_box": box_gradients([positives], mu=0.02, num_bins=10, beta=0.1),
        "ranks": rank_histogram([positives]),
        "assigners": assigners([assigned]),
        "overlap": overlaps([chunk], {sign: SAMPLERS[:3] for sign in SIGNS}),
        "calibration": entry_scores.result(),
        "distributions": score_weights.result(),
        "score_shift": image_scores.result(),
        "imbalance": imbalance([objects], 1000, entries.counts, CLASSES),
        "gradient_ratio": entries.result(frequencies, CLASSES),
        "class_scores": class_scores([own], frequencies, CLASSES),
        "boosting": Boosting(
            ap=dict.fromkeys(variants(), 12.5),
            precisions=curves,
            decreases={5: 1.0, 25: 1.0},
            num_boosted={5: 3, 25: 9},
        ),
    }


def write_analysis(folder, numbers):
    """Write what ``imbdet analyze`` leaves, without the rows."""
    (folder / "tables").mkdir(parents=True)
    sentences = ["3 candidates have predictions that are not finite."]
    sentences += [
        write_study(type(study), lambda study=study: study, folder) for study in numbers.values()
    ]
    (folder / "summary.txt").write_text("".join(f"{text}\n" for text in sentences))
    write_picture(folder / "pictures" / "a & b.png")


def write_picture(path, size=(60, 40)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path)


def write_records(folder, num_parts=3):
    """Write histograms in several parts, and return their sums by name."""
    records = RecordFolder(folder, max_bytes=1e9)
    total = 0
    for part in range(num_parts):
        histograms = JointHistograms(SITES)
        record, chosen = (make_record(seed=seed) for seed in (part, part + 9))
        candidates = record.samples.candidates
        histograms.add("roi_heads", "available", candidates, record.cls_losses)
        histograms.add("roi_heads", "chosen", chosen.samples.candidates, record.cls_losses)
        histograms.add("rpn", "available", candidates, None)
        counts = histograms.take()
        total = total + counts
        content = to_npz(histograms.named(counts), num_batches=2)
        records.write(10 * (part + 1) - 1, {"histograms.npz": content})
    return histograms.named(total)


def write_run(folder):
    """Write what a training with an analysis and records leaves; return the analysis's numbers."""
    folder.mkdir()
    opts = ["OUTPUT_DIR", str(folder), "SEED", "7", "SOLVER.BASE_LR", "0.25"]
    cfg = load_config(opts=opts)
    (folder / "config.yaml").write_text(cfg.dump())
    cfg.MODEL.DEVICE = "cpu"
    args = Namespace(config_file=[], opts=opts, resume=False)
    write_run_info(cfg, args, "training", [torch, np])
    rows = [
        {"iteration": i, "total_loss": 2.0 - i / 100, "loss_cls": 1.0, "lr": 0.1, "time": 0.5}
        for i in range(19, 100, 20)
    ]
    rows.append({"iteration": 100, "bbox/AP": 12.345, "bbox/AP50": float("nan")})
    (folder / "metrics.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    write_evaluation(folder / "inference" / "val")
    write_records(folder / "records")
    numbers = all_numbers()
    write_analysis(folder / "analysis", numbers)
    return numbers


def write_evaluation(folder):
    overall = {"AP": 12.345, "AP50": 30.0, "AP75": 5.0, "APl": None, "AR@100": 40.0}
    per_class = {
        name: {"objects": n, "AP": ap, "AP50": 50.0}
        for name, n, ap in zip(CLASSES, (5, 100, 20), (30.0, None, 4.5), strict=True)
    }
    evaluation = {
        "dataset": "val",
        "num_images": 8,
        "num_detections": 1234,
        "library": "pycocotools",
        "metrics": {"bbox": {"overall": overall, "per_class": per_class}},
        "optimal_lrp": {
            SCRIPT: {"olrp": 70.0, "localisation": 20.0, "fp": 10.0, "fn": 40.0, "threshold": 0.7},
            CLOSING: dict.fromkeys(("olrp", "localisation", "fp", "fn", "threshold")),
            "1e5": {"olrp": 100, "localisation": None, "fp": None, "fn": 100, "threshold": None},
        },
    }
    pairs = {(SCRIPT, SCRIPT): 1, (SCRIPT, CLOSING): 2, (CLOSING, SCRIPT): 30, ("1e5", None): 20}
    curves = {
        "recalls": [0.0, 0.5, 1.0],
        "precisions": {"bbox": {n: {"0.5": [1, 0.5, 0], "0.75": [1, 0, 0]} for n in CLASSES[::2]}},
        "confusion": [
            {"object": a, "detection": b, "count": n}
            for (a, b), n in {**pairs, (None, SCRIPT): 9, (CLOSING, None): 70}.items()
        ],
    }
    write_picture(folder / "pictures" / "<img src=x onerror=alert(1)>.png")
    write_picture(folder / "pictures" / "wide.png", size=(3000, 100))
    (folder / "metrics.json").write_text(json.dumps(evaluation))
    (folder / "curves.json").write_text(json.dumps(curves))
