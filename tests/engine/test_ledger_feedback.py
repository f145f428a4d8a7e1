"""Trainings with feedback are the same for all interruptions, workers and processes."""

import functools
import shutil
from collections import defaultdict
from itertools import islice

import numpy as np
import polars as pl
import pytest
import torch

from imbdet.data.image_periods import ImagePeriods
from imbdet.data.image_samplers import check_sampler
from imbdet.data.order import BatchOrder
from imbdet.data.repeat_factors import by_hardness
from imbdet.records.hardness import hardness_of_images, hardness_of_objects
from imbdet.records.ledger import Ledger
from imbdet.records.ledger_rows import LedgerRows
from imbdet.suspects.doubt import doubts_of_classes
from tests.data.test_augmentation import make_cfg
from tests.engine.test_ledger_keeper import FULL_RECORDS, train
from tests.messages import assert_says, error_of

# isort: split
from imbdet.engine.ledger_feedback import LedgerFeedback, needs_feedback

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")

FEEDBACK = {
    "DATALOADER.SAMPLER_TRAIN": "LedgerTrainingSampler",
    "LEDGER.FEEDBACK.PERIOD": 4,
    "LEDGER.FEEDBACK.OBJECT_WEIGHTS": True,
    "LEDGER.FEEDBACK.WARMUP_ITERS": 5,
    "SOLVER.CHECKPOINT_PERIOD": 3,
    "SOLVER.MAX_ITER": 10,
}


def load(folder, name="model_final"):
    return torch.load(folder / f"{name}.pth", weights_only=True)


def hook_of(state, name):
    return state["trainer"]["hooks"][name]


def assert_alike(found, expected):
    assert found["model"].keys() == expected["model"].keys()
    for name, values in expected["model"].items():
        assert torch.equal(found["model"][name], values), name
    looks = [hook_of(state, "LedgerFeedback")["looks"] for state in (found, expected)]
    for own, others in zip(*looks, strict=True):
        assert all(map(torch.equal, own, others))


def test_an_interrupted_training_is_the_same_with_any_number_of_workers(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train("retinanet", whole, **FEEDBACK)
    expected = load(whole)
    for kept, num_workers in ((5, 2), (8, 0)):  # within the second period, and within the third
        shutil.rmtree(parts, ignore_errors=True)
        shutil.copytree(whole, parts)
        for path in parts.glob("model_*.pth"):
            if path.stem == "model_final" or int(path.stem[-7:]) > kept:
                path.unlink()
        (parts / "last_checkpoint").write_text(f"model_{kept:07d}.pth")
        train("retinanet", parts, "--resume", **FEEDBACK, **{"DATALOADER.NUM_WORKERS": num_workers})
        assert_alike(load(parts), expected)
    hardness, weights = hook_of(expected, "LedgerFeedback")["looks"][-1]
    assert weights.min() < 1
    assert hardness.min() < hardness.max()


def look_of(state, rows):
    """The feedback of a checkpoint's ledger, by the formulas."""
    objects = hook_of(state, "LedgerKeeper")["ledger"]["objects"]
    judged = objects["judged"]
    rival = objects["rival"] / judged.clamp(min=1)
    doubts = doubts_of_classes(judged.numpy(), rival.numpy(), rows.classes)
    hardness = hardness_of_objects(objects) * (1 - torch.from_numpy(doubts))
    return hardness_of_images(hardness, objects["judged"] > 0, torch.from_numpy(rows.num_objects))


def test_all_processes_draw_by_the_ledger_of_the_period_before(tmp_path):
    keys = {
        **FEEDBACK,
        **FULL_RECORDS,
        "LEDGER.FEEDBACK.PERIOD": 2,
        "SOLVER.CHECKPOINT_PERIOD": 2,
        "SOLVER.MAX_ITER": 6,
        "SOLVER.IMS_PER_BATCH": 4,
        "DATASETS.SHAPES.EMPTY_FRACTION": 0.0,
    }
    train("retinanet", tmp_path, "--num-processes", "2", **keys)
    shown = defaultdict(set)
    for rank in (0, 1):
        parts = pl.read_parquet(tmp_path / f"records/samples/part-*-rank{rank}.parquet")
        for image_id, iteration in parts.select("image_id", "iteration").unique().iter_rows():
            shown[rank, iteration].add(image_id)
    ids = pl.read_parquet(tmp_path / "ledger" / "images.parquet")["image_id"].to_list()
    table = pl.read_parquet(tmp_path / "ledger" / "objects.parquet")
    rows = LedgerRows(
        {
            "dataset_name": "shapes_train",
            "image_id": image_id,
            "annotations": [
                {"id": row["id"], "category_id": row["class"], "iscrowd": row["is_ignored"]}
                for row in table.filter(image_id=image_id).iter_rows(named=True)
            ],
        }
        for image_id in ids
    )
    # The ledger at the start of period 1 rules the images of period 2, iterations 4 and 5.
    hardness = look_of(load(tmp_path, "model_0000001"), rows).numpy()
    assert hardness.max() > 0
    for rank in (0, 1):
        periods = ImagePeriods(len(ids), 2, num_workers=0)
        periods.set_factors(2, by_hardness(hardness, 4.0))
        order = functools.partial(
            BatchOrder,
            is_wide=np.zeros(len(ids), bool),
            seed=1,
            batch_size=2,
            rank=rank,
            num_processes=2,
        )
        for iteration, batch in enumerate(islice(periods.batches(order, 4), 2), start=4):
            assert shown[rank, iteration] == {ids[draw.index] for draw in batch}


def test_wrong_labels_lose_weight_and_hard_images_come_more_often():
    # Images of two objects each: one with a wrong label, one hard to learn, one easy, one not seen.
    notes = [{"id": k, "category_id": 0} for k in range(8)]
    rows = LedgerRows(
        {"dataset_name": "x", "image_id": i, "annotations": notes[2 * i : 2 * i + 2]}
        for i in range(4)
    )
    ledger = Ledger(8, 4)
    known = torch.arange(6)
    for name in ("judged", "seen"):
        ledger.objects[name][known] = 6
    ledger.objects["is_learnt"][known] = torch.tensor([False, True, False, True, True, True])
    ledger.objects["learnt"][known] = torch.tensor([0, 6, 3, 6, 6, 6]).int()
    ledger.objects["forgotten"][2] = 3
    ledger.objects["rival"][0] = 6.0
    look = judge(ledger, rows)
    # d is 6/7 of the wrong label, and 1/7 on average.
    torch.testing.assert_close(look.weights, torch.tensor([2 / 7] + [1.0] * 7))
    hard = 1.0  # not learnt at its last sight
    expected = [2 / 7 / 2, hard / 2, 0, (2 / 7 / 2 + hard / 2) / 3]
    torch.testing.assert_close(look.hardness, torch.tensor(expected, dtype=torch.float64))
    factors = by_hardness(look.hardness.numpy(), 4.0)
    assert factors.argmax() == 1
    assert factors.max() <= 4


def judge(ledger, rows):
    cfg = make_cfg("LEDGER.ENABLED", True, "LEDGER.FEEDBACK.MIN_WEIGHT", 0.01)

    class Keeper:
        pass

    Keeper.rows = rows
    return LedgerFeedback(cfg, Keeper)._judge(ledger)


@pytest.mark.parametrize("iteration", [4, 5])
def test_objects_weigh_less_after_the_warmup_alone(iteration):
    class Trainer:
        model = torch.nn.Identity()
        iter = iteration

    keys = ("LEDGER.FEEDBACK.OBJECT_WEIGHTS", True, "LEDGER.FEEDBACK.WARMUP_ITERS", 5)
    feedback = LedgerFeedback(make_cfg("LEDGER.ENABLED", True, *keys), keeper=None)
    feedback.trainer = Trainer
    feedback.before_step()
    assert bool(Trainer.model._forward_pre_hooks) == (iteration == 5)
    feedback.after_train()
    assert not Trainer.model._forward_pre_hooks


def test_without_a_ledger_there_is_no_feedback():
    weights = make_cfg("LEDGER.FEEDBACK.OBJECT_WEIGHTS", True)
    assert_says(error_of(needs_feedback, weights), "OBJECT_WEIGHTS", "LEDGER.ENABLED")
    images = make_cfg("DATALOADER.SAMPLER_TRAIN", "LedgerTrainingSampler")
    assert_says(error_of(check_sampler, images), "LedgerTrainingSampler", "LEDGER.ENABLED")
    assert not needs_feedback(make_cfg("LEDGER.ENABLED", True))


@pytest.mark.parametrize("end", [1000, 1001])
def test_weights_that_would_come_after_the_end_are_said(end, caplog):
    keys = ("LEDGER.ENABLED", True, "LEDGER.FEEDBACK.OBJECT_WEIGHTS", True)
    assert needs_feedback(make_cfg(*keys, "SOLVER.MAX_ITER", end))
    assert ("it will weigh no object" in caplog.text) == (end == 1000)
