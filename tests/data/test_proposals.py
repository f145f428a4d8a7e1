"""Precomputed proposals, in the files of detectron2."""

import copy
import pickle

import numpy as np
import pytest
import torch
from detectron2.data import load_proposals_into_dataset
from detectron2.structures import BoxMode

from imbdet.data import build_test_loader, build_train_loader, load_dataset
from imbdet.data.proposals import check_proposal_keys, with_proposals
from tests.messages import assert_says, error_of

GENERATOR = ["MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"]


class Hostile:
    def __reduce__(self):
        return print, ("run",)


def make_content(ids=(10, 20, 30, 40), num=6):
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 20, (len(ids), num, 2))
    sizes = generator.uniform(2, 10, (len(ids), num, 2))
    boxes = np.concatenate([corners, corners + sizes], axis=2).astype(np.float32)
    scores = generator.normal(size=(len(ids), num)).astype(np.float32)
    return {"ids": list(ids), "boxes": list(boxes), "objectness_logits": list(scores)}


def write(toy, content, protocol=4):
    path = toy.folder / "proposals.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return str(path)


def config(toy, path, *opts):
    files = [x for kind in ("TRAIN", "TEST") for x in (f"DATASETS.PROPOSAL_FILES_{kind}", (path,))]
    two_stage = ["MODEL.META_ARCHITECTURE", "GeneralizedRCNN", "MODEL.ROI_HEADS.NUM_CLASSES", 2]
    return toy.config("MODEL.LOAD_PROPOSALS", True, *GENERATOR, *two_stage, *files, *opts)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("names", ["detectron2", "detectron", "XYWH"])
def test_records_are_detectron2s(names, protocol, toy):
    content = make_content()
    if names == "detectron":
        content |= {"indexes": content.pop("ids"), "scores": content.pop("objectness_logits")}
    if names == "XYWH":
        content["bbox_mode"] = BoxMode.XYWH_ABS.value
    path = write(toy, content, protocol)
    cfg = config(toy, path)
    check_proposal_keys(cfg)
    records = load_dataset(cfg, "toy")
    expected = load_proposals_into_dataset(copy.deepcopy(records), path)
    found = with_proposals(cfg, records, "toy")
    assert not any("proposal_boxes" in record for record in records)
    for own, theirs in zip(found, expected, strict=True):
        assert own.keys() == theirs.keys()
        assert own["proposal_bbox_mode"] is theirs["proposal_bbox_mode"]
        for name in ("proposal_boxes", "proposal_objectness_logits"):
            np.testing.assert_array_equal(own[name], theirs[name])


def test_loaders_yield_them(toy):
    topk = ["DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN", 4, "SOLVER.IMS_PER_BATCH", 2]
    cfg = config(toy, write(toy, make_content()), *topk)
    (image,) = next(iter(build_test_loader(cfg, "toy")))
    assert len(image["proposals"]) == 6
    assert image["proposals"].image_size == tuple(image["image"].shape[1:])
    for image in next(iter(build_train_loader(cfg))):
        scores = image["proposals"].objectness_logits
        assert len(scores) == 4
        assert torch.equal(scores, scores.sort(descending=True).values)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"ids": [10, 20, 30, 50]}, ["no proposals of the image 40", "4.png"]),
        ({"ids": [10, 20]}, ["of one length"]),
        ({"boxes": None}, ["'ids', 'boxes' and 'objectness_logits'"]),
        ({"boxes": [np.zeros((6, 5))] * 4}, ["(6, 5)", "four finite numbers"]),
        ({"boxes": [np.full((6, 4), np.nan)] * 4}, ["four finite numbers"]),
        ({"bbox_mode": 7}, ["'bbox_mode' of 7"]),
        ({"extra": Hostile()}, ["is no pickle of proposals", "print"]),
    ],
)
def test_files_of_something_else_are_refused(damage, words, toy, capsys):
    path = write(toy, make_content() | damage)
    cfg = config(toy, path)
    message = error_of(with_proposals, cfg, load_dataset(cfg, "toy"), "toy")
    assert_says(message, "DATASETS.PROPOSAL_FILES_TEST", path, *words)
    assert not capsys.readouterr().out


def test_a_missing_file_is_refused(toy):
    cfg = config(toy, str(toy.folder / "nowhere.pkl"))
    message = error_of(with_proposals, cfg, load_dataset(cfg, "toy"), "toy", training=True)
    assert_says(message, "DATASETS.PROPOSAL_FILES_TRAIN", "nowhere.pkl", "cannot be read")


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (["MODEL.META_ARCHITECTURE", "RetinaNet"], ["RetinaNet takes no proposals"]),
        (["MODEL.PROPOSAL_GENERATOR.NAME", "RPN"], ["'RPN'", "'PrecomputedProposals'"]),
        (["DATASETS.PROPOSAL_FILES_TEST", ()], ["DATASETS.PROPOSAL_FILES_TEST has 0 files"]),
        (["MODEL.LOAD_PROPOSALS", False], ["MODEL.LOAD_PROPOSALS is False"]),
    ],
)
def test_keys_that_contradict_each_other(opts, words, toy):
    assert_says(error_of(check_proposal_keys, config(toy, "proposals.pkl", *opts)), *words)
