"""Recorded trainings: small ones in a plain loop of detectron2, and one of the whole program."""

import contextlib
import itertools
import logging
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import torch.multiprocessing as mp

from imbdet.config import load_config
from imbdet.data import register_datasets
from imbdet.engine import Trainer
from imbdet.engine.recorder import SampleRecorder
from imbdet.learning import learners_of
from imbdet.records import joint_histogram, read_histograms
from tests.messages import assert_says, error_of
from tests.modeling.conftest import make_batch, small_config
from tests.test_train_net import CONFIGS, TINY

# isort: split
from detectron2.engine import SimpleTrainer, TrainerBase
from detectron2.structures import Boxes, pairwise_iou
from detectron2.utils import comm

from imbdet.modeling import build_model

# The network sees files twice as large, 300 wide, flipped.
TO_FILE = torch.tensor([[-2.0, 2.0], [300.0, 0.0]])
ALL_NEGATIVES = ["RECORD.NUM_RANDOM_NEGATIVES", 10**6]


class CrashError(Exception):
    pass


def batches(start=0):
    """Another batch for each iteration; every fourth has an image without objects."""
    for iteration in itertools.count(start):
        batch = make_batch([3, iteration % 4], seed=iteration)
        for image, image_id in zip(batch, (iteration, f"{iteration}.png"), strict=True):
            image |= {"image_id": image_id, "to_file": TO_FILE}
        yield batch


def train(cfg, num_iterations, *, start=0, ends_in=None, killed=False):
    """Losses of each iteration; the training may end within one, also killed without cleanup."""
    torch.manual_seed(0)
    model = build_model(cfg).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    trainer = SimpleTrainer(model, batches(start), optimizer)
    hooks = [SampleRecorder(cfg, model)] if cfg.RECORD.PERIOD else []
    trainer.register_hooks(hooks)
    losses = []

    def note_losses(losses_of_step, *_):
        losses.append({name: loss.item() for name, loss in losses_of_step.items()})
        if trainer.iter == ends_in:
            for hook in hooks if killed else []:
                hook.after_train = lambda: None
            raise CrashError

    trainer._write_metrics = note_losses
    try:
        trainer.train(start, num_iterations)
    except CrashError:
        return losses
    assert not any(m.record_sinks or m.candidate_sink for m in learners_of(model))
    return losses


def config(kind, tmp_path, *opts, period=1):
    opts = ["OUTPUT_DIR", str(tmp_path), "RECORD.PERIOD", period, *opts]
    return small_config(kind, *opts)


def read_rows(tmp_path):
    return pq.read_table(tmp_path / "records" / "samples")


def histogram_of_rows(table):
    columns = (table[name].to_numpy() for name in ("iou", "cls_loss", "stratum_weight"))
    ious, losses, weights = (torch.tensor(column) for column in columns)
    own = [(weight, weights == weight) for weight in weights.unique()]
    return sum(weight.double() * joint_histogram(ious[i], losses[i]) for weight, i in own).numpy()


def rows_by_kind(table):
    """Tables of the positives and of the negatives of each site."""
    sites, is_positive = table["site"].to_numpy(), table["is_positive"].to_numpy()
    return {
        f"{site}/{sign}": table.filter((sites == site) & (is_positive == (sign == "pos")))
        for site in np.unique(sites)
        for sign in ("pos", "neg")
    }


@pytest.mark.parametrize(
    ("kind", "opts"),
    [
        ("retinanet", []),
        ("retinanet", ["MODEL.SAMPLER.NEGATIVE.NAME", "random"]),
        ("faster_rcnn", []),
        ("faster_rcnn", ["MODEL.SAMPLER.NEGATIVE.NAME", "ohem"]),
        ("faster_rcnn", ["MODEL.CLS_LOSS.NAME", "ap"]),
        ("cascade_rcnn", []),
    ],
    ids=[
        *("retinanet", "retinanet sampled", "faster_rcnn", "faster_rcnn ohem", "faster_rcnn ap"),
        "cascade_rcnn",
    ],
)
def test_rows_and_histograms_say_the_same(kind, opts, tmp_path):
    train(config(kind, tmp_path, *opts, *ALL_NEGATIVES), 3)
    counts = read_histograms(tmp_path / "records" / "histograms")
    tables = rows_by_kind(read_rows(tmp_path))
    sites = {
        "retinanet": {"retinanet"},
        "faster_rcnn": {"rpn", "roi_heads"},
        "cascade_rcnn": {"rpn", *(f"roi_heads_stage{k}" for k in range(3))},
    }[kind]
    assert {name.split("/")[0] for name in tables} == sites
    assert counts.pop("num_batches") == 3
    for name, table in tables.items():
        assert len(table) > 0
        np.testing.assert_array_equal(counts[f"{name}_chosen"], histogram_of_rows(table))
        available = counts[f"{name}_available"]
        # Losses of all candidates are known where predictions are, and samples have losses.
        is_known = "roi_heads" not in name or "ohem" in opts
        if is_known:
            assert (available >= counts[f"{name}_chosen"]).all()
        assert available[:, -1].sum() == (0 if is_known else available.sum())
        if kind == "retinanet" and not opts:
            np.testing.assert_array_equal(available, counts[f"{name}_chosen"])


def test_kept_negatives_stand_for_all(tmp_path):
    opts = ["RECORD.NUM_HARD_NEGATIVES", 5, "RECORD.NUM_RANDOM_NEGATIVES", 7]
    train(config("retinanet", tmp_path, *opts), 2)
    counts = read_histograms(tmp_path / "records" / "histograms")["retinanet/neg_chosen"]
    negatives = rows_by_kind(read_rows(tmp_path))["retinanet/neg"]
    assert len(negatives) == 2 * 2 * (5 + 7)
    assert histogram_of_rows(negatives).sum() == pytest.approx(counts.sum(), rel=1e-9)


def test_the_page_reads_them_back(tmp_path, capsys):
    train(config("faster_rcnn", tmp_path), 1)
    page = (CONFIGS.parent / "docs" / "records.md").read_text()
    rows, histograms = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for code in (rows, histograms):
        exec(code.replace("output/faster_rcnn", str(tmp_path)), {})
    output = capsys.readouterr().out
    assert_says(output, "pred_iou_mean", "'grad_norm': '|p - p*| of the score, as in GHM'")


def test_the_columns_that_the_batch_knows(tmp_path):
    train(config("retinanet", tmp_path, period=2), 6)
    table = read_rows(tmp_path)
    iterations, images = table["iteration"].to_numpy(), table["image_id"].to_pylist()
    assert set(zip(iterations.tolist(), images, strict=True)) == {
        (i, name) for i in (1, 3, 5) for name in (str(i), f"{i}.png")
    }
    positives = table.filter(table["is_positive"])
    objects = {
        (row["image_id"], row["gt_id"])
        for row in positives.select(["image_id", "gt_id"]).to_pylist()
    }
    # Low-quality matches give every object an anchor.
    assert objects == {(str(i), k) for i in (1, 3, 5) for k in range(3)} | {
        (f"{i}.png", k) for i in (1, 3, 5) for k in range(i % 4)
    }
    for row in positives.to_pylist():
        gt_class = make_batch([3, row["iteration"] % 4], seed=row["iteration"])[
            row["image_id"].endswith(".png")
        ]["instances"].gt_classes[row["gt_id"]]
        assert row["class"] == gt_class
    levels = set(table["level"].to_pylist())
    assert {0, 1} <= levels <= {0, 1, 2, 3, 4}
    assert set(table["chosen_by"].to_pylist()) == {"all"}


@pytest.mark.parametrize("kind", ["retinanet", "faster_rcnn"])
def test_boxes_lead_back_to_the_image_files(kind, tmp_path):
    train(config(kind, tmp_path), 1)
    objects = {
        image_id: image["instances"].gt_boxes
        for image, image_id in zip(make_batch([3, 0], seed=0), ("0", "0.png"), strict=True)
    }
    table = read_rows(tmp_path)
    boxes = np.stack([table[name].to_numpy() for name in ("x0", "y0", "x1", "y1")], axis=1)
    seen = np.stack([300 - boxes[:, 2], boxes[:, 1], 300 - boxes[:, 0], boxes[:, 3]], axis=1) / 2
    for image_id, gt_boxes in objects.items():
        rows = np.array(table["image_id"].to_pylist()) == image_id
        ious = pairwise_iou(Boxes(torch.tensor(seen[rows])), gt_boxes)
        expected = ious.amax(dim=1) if len(gt_boxes) else torch.zeros(rows.sum())
        np.testing.assert_allclose(table["iou"].to_numpy()[rows], expected, atol=1e-4)


def test_proposals_have_no_level_but_anchors_have(tmp_path):
    opts = ["MODEL.SAMPLER.POSITIVE.NAME", "instance_balanced"]
    train(config("faster_rcnn", tmp_path, *opts), 1)
    tables = rows_by_kind(read_rows(tmp_path))
    assert set(tables["roi_heads/neg"]["level"].to_pylist()) == {-1}
    assert len(set(tables["rpn/neg"]["level"].to_pylist())) > 1
    assert set(tables["roi_heads/pos"]["chosen_by"].to_pylist()) == {"instance_balanced"}
    assert set(tables["roi_heads/neg"]["chosen_by"].to_pylist()) == {"random"}


@pytest.mark.parametrize(
    ("kind", "opts"),
    [
        ("faster_rcnn", []),
        ("retinanet", ["MODEL.CLS_LOSS.NAME", "ghm_c", "MODEL.SAMPLER.NEGATIVE.NAME", "random"]),
    ],
)
def test_a_training_is_the_same_with_records_and_without(kind, opts, tmp_path):
    recorded = train(config(kind, tmp_path, *opts), 3)
    assert recorded == train(config(kind, tmp_path, *opts, period=0), 3)
    assert len(read_rows(tmp_path)) > 0


def test_off_is_off(tmp_path):
    cfg = config("retinanet", tmp_path, period=0)
    train(cfg, 1)
    assert not (tmp_path / "records").exists()
    for learner in learners_of(build_model(cfg)):
        assert learner.record_sinks == []
        assert learner.candidate_sink is None


# The training has 10 iterations, and a checkpoint after iterations 3 and 7.
@pytest.mark.parametrize("killed", [True, False], ids=["killed", "crashed"])
@pytest.mark.parametrize("ends_in", [4, 6, 7, 8], ids="in {}".format)
def test_a_resumed_run_has_each_iteration_once(ends_in, killed, tmp_path, monkeypatch):
    monkeypatch.setattr("imbdet.engine.recorder.BATCHES_PER_PART", 3)
    cfg = config("retinanet", tmp_path / "ended", "SOLVER.CHECKPOINT_PERIOD", 4)
    train(cfg, 10, ends_in=ends_in, killed=killed)
    last = read_rows(tmp_path / "ended")["iteration"].to_numpy().max()
    assert last == (max(i for i in (2, 3, 5, 7) if i < ends_in) if killed else ends_in)
    train(cfg, 10, start=4 if ends_in < 8 else 8)

    train(config("retinanet", tmp_path / "whole"), 10)
    # The anchors' labels, and so the number of rows, do not depend on what was learned.
    iterations, expected = (
        np.sort(read_rows(tmp_path / run)["iteration"].to_numpy()) for run in ("ended", "whole")
    )
    np.testing.assert_array_equal(iterations, expected)
    histograms = read_histograms(tmp_path / "ended" / "records" / "histograms")
    assert histograms["num_batches"] == 10
    for name, table in rows_by_kind(read_rows(tmp_path / "ended")).items():
        total = table["stratum_weight"].to_numpy().sum()
        assert histograms[f"{name}_chosen"].sum() == pytest.approx(total, rel=1e-9)


def test_an_interrupted_run_leaves_what_it_saw(tmp_path):
    class InterruptingBatches:
        def __iter__(self):
            yield from itertools.islice(batches(), 3)
            raise KeyboardInterrupt

    cfg = config("retinanet", tmp_path)
    model = build_model(cfg).train()
    trainer = SimpleTrainer(model, InterruptingBatches(), torch.optim.SGD(model.parameters(), 0.0))
    trainer.register_hooks([SampleRecorder(cfg, model)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train(0, 10)
    assert set(read_rows(tmp_path)["iteration"].to_pylist()) == {0, 1, 2}
    assert read_histograms(tmp_path / "records" / "histograms")["num_batches"] == 3


def test_records_keep_to_their_budget(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("imbdet.engine.recorder.BATCHES_PER_PART", 1)
    monkeypatch.setattr("imbdet.engine.recorder.BYTES_PER_MB", 1000)
    max_mb = 120
    with caplog.at_level(logging.INFO, logger="imbdet"):
        train(config("retinanet", tmp_path, "RECORD.MAX_MB", max_mb), 16)
    files = [path for path in (tmp_path / "records").rglob("*") if path.is_file()]
    assert max_mb / 2 < sum(path.stat().st_size for path in files) / 1000 <= max_mb
    iterations = sorted(set(read_rows(tmp_path)["iteration"].to_pylist()))
    gaps = np.diff(iterations)
    assert gaps[0] == 1
    assert gaps[-1] >= 2
    assert (np.diff(gaps) >= 0).all()
    assert "one iteration in 2 is recorded" in caplog.text


def test_a_part_beyond_the_budget_ends_the_records(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("imbdet.engine.recorder.BATCHES_PER_PART", 1)
    monkeypatch.setattr("imbdet.engine.recorder.BYTES_PER_MB", 1000)
    train(config("retinanet", tmp_path, "RECORD.MAX_MB", 1), 3)
    assert not (tmp_path / "records").exists()
    assert caplog.text.count("recording ends here") == 1
    assert "RECORD.MAX_MB" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PERIOD", -1),
        ("MAX_MB", 0),
        ("NUM_HARD_NEGATIVES", -1),
        ("NUM_RANDOM_NEGATIVES", 0),
    ],
)
def test_bad_keys_are_named(key, value, tmp_path):
    cfg = config("retinanet", tmp_path, f"RECORD.{key}", value)
    assert_says(error_of(SampleRecorder, cfg, build_model(cfg)), f"RECORD.{key}", str(value))


def test_a_model_that_tells_nothing_is_refused(tmp_path):
    cfg = config("retinanet", tmp_path, "MODEL.META_ARCHITECTURE", "RetinaNet")
    message = error_of(SampleRecorder, cfg, build_model(cfg))
    names = "ImbRetinaNet, ImbDense, ImbROIHeads, ImbCascadeROIHeads, ImbRPN"
    assert_says(message, "RECORD.PERIOD", "'RetinaNet'", names)


class ForwardTrainer(TrainerBase):
    """A trainer of forward passes alone, as autograd does not survive a fork.

    It may be interrupted at its end.
    """

    def __init__(self, model, interrupted):
        super().__init__()
        self.model = model
        self.batches = batches(start=comm.get_rank())
        self.interrupted = interrupted

    @torch.no_grad()
    def run_step(self):
        if self.interrupted and self.iter == 2:
            raise InterruptedError
        self.model(next(self.batches))


def look_as_one_of_two(rank, folder, interrupted):
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    cfg = config("retinanet", folder, *ALL_NEGATIVES)
    trainer = ForwardTrainer(build_model(cfg).train(), interrupted)
    trainer.register_hooks([SampleRecorder(cfg, trainer.model)])
    with contextlib.suppress(InterruptedError):
        trainer.train(0, 4)


@pytest.mark.parametrize("interrupted", [False, True])
def test_histograms_are_summed_over_processes(interrupted, tmp_path):
    mp.start_processes(
        look_as_one_of_two, args=(tmp_path, interrupted), nprocs=2, start_method="fork"
    )
    # Where processes cannot meet, each writes what it counted.
    last, ranks = (2, (0, 1)) if interrupted else (3, (0,))
    parts = sorted(path.name for path in (tmp_path / "records").rglob("part-*"))
    assert parts == sorted(
        [
            *(f"part-{last:07d}-rank{rank}.npz" for rank in ranks),
            *(f"part-{last:07d}-rank{rank}.parquet" for rank in (0, 1)),
        ]
    )
    counts = read_histograms(tmp_path / "records" / "histograms")
    assert counts["num_batches"] == (4 if interrupted else 8)
    for name, table in rows_by_kind(read_rows(tmp_path)).items():
        np.testing.assert_array_equal(counts[f"{name}_chosen"], histogram_of_rows(table))


def test_the_trainer_records_before_it_saves_and_shows_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    opts = {**TINY, "OUTPUT_DIR": str(tmp_path), "RECORD.PERIOD": 2, "TEST.EVAL_PERIOD": 1}
    opts |= {"SOLVER.CHECKPOINT_PERIOD": 2, "DATASETS.TEST": "()", "MODEL.DEVICE": "cpu"}
    cfg = load_config(
        str(CONFIGS / "quick_start" / "faster_rcnn.yaml"), opts=[x for o in opts.items() for x in o]
    )
    register_datasets(cfg)
    trainer = Trainer(cfg)
    save = trainer.checkpointer.save
    seen = {}

    def note_rows(name, **kwargs):
        seen[name] = set(read_rows(tmp_path)["iteration"].to_pylist())
        save(name, **kwargs)

    trainer.checkpointer.save = note_rows
    trainer.train()
    assert seen == {"model_0000001": {1}, "model_0000003": {1, 3}, "model_final": {1, 3}}
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert b"records/roi_heads/neg_chosen" in events.read_bytes()
