"""``imbdet config`` and ``imbdet methods``."""

import json
from pathlib import Path

import pytest

import imbdet
from imbdet.cli import main
from tests.registries import REGISTRIES

QUICK_START = Path(imbdet.__file__).parents[1] / "configs" / "quick_start"
RETINANET, FASTER_RCNN = (str(QUICK_START / f"{n}.yaml") for n in ("retinanet", "faster_rcnn"))


def test_explains_a_key_and_a_group_of_keys(capsys):
    assert main(["config", "explain", "INPUT.SSD.SIZE", "MODEL.CARL"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "INPUT.SSD.SIZE: 512 (at least 1)",
        "    Side of the square, in pixels.",
        "MODEL.CARL.ENABLED: False",
    ]
    assert lines[-2:] == [
        "MODEL.CARL.BIAS: 0.2 (from 0 to 1)",
        "    Weight of a score of 0, before the power.",
    ]


def test_says_which_key_may_be_meant(capsys):
    for key, meant in (
        ("MODEL.CLS_LOS.NAME", "'MODEL.CLS_LOSS.NAME'"),
        ("SAMPLER", "'MODEL.SAMPLER'"),
        ("MODEL.CLS_LOS", "'MODEL.CLS_LOSS'"),
        ("MAX_ITER", "'SOLVER.MAX_ITER'"),
    ):
        assert main(["config", "explain", key]) == 2
        assert meant in capsys.readouterr().err


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return [str(folder / f"{name}.yaml") for name in files]


def test_shows_what_a_config_changes_of_its_base(tmp_path, capsys):
    base, child, piece = write(
        tmp_path,
        base="VERSION: 2\nSEED: 5\nSOLVER: {MAX_ITER: 7}\n",
        child='_BASE_: "base.yaml"\nSEED: 6\n',
        piece="MODEL: {CLS_LOSS: {NAME: ap}}\n",
    )
    main(["config", "diff", "--config-file", child, "--config-file", piece, "SOLVER.MAX_ITER", "8"])
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == f"3 keys other than in {tmp_path}/base.yaml:"
    assert set(lines) == {
        "  SEED: 5 -> 6",
        "  SOLVER.MAX_ITER: 7 -> 8",
        "  MODEL.CLS_LOSS.NAME: '' -> 'ap'",
    }
    main(["config", "diff", "--config-file", base])
    assert "2 keys other than in the defaults:\n" in capsys.readouterr().out
    main(["config", "diff", "--config-file", child, "--base", child])
    assert f"0 keys other than in {child}:\n" in capsys.readouterr().out
    assert main(["config", "diff", "--config-file", child, "--base", "nowhere.yaml"]) == 2


def test_a_base_in_another_folder_is_named_without_detours(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    write(tmp_path / "a", base="SEED: 5\nVERSION: 2\n")
    (child,) = write(tmp_path / "b", child='_BASE_: "../a/base.yaml"\nSEED: 6\n')
    main(["config", "diff", "--config-file", child])
    assert f"1 key other than in {tmp_path}/a/base.yaml:\n" in capsys.readouterr().out


def test_checks_a_config_without_its_data(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["config", "check", "--config-file", RETINANET]) == 0
    said = "would start, if its data are right, which were not looked at: ImbRetinaNet with 13."
    assert said in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (["MODEL.CLS_LOSS.NAME", "app"], "'ap'"),
        (["MODEL.CLS_LOSS.AP.DELTA", "0.5"], "only 'ap' reads it"),
        (["MODEL.CLS_LOSS.NAME", "alrp"], "'giou'"),
        (["DATASETS.TRAIN", "('nowhere',)"], "'nowhere'"),
        (["SOLVER.IMS_PER_BATCH", "x"], "SOLVER.IMS_PER_BATCH"),
        (["SOLVER.OPTIMIZER", "Adam"], "'AdamW'"),
        (["SOLVER.LR_SCHEDULER_NAME", "Cosine"], "make no schedule: Unknown LR scheduler: Cosine"),
        (["SOLVER.CHECKPOINT_PERIOD", "0"], "SOLVER.CHECKPOINT_PERIOD is 0: it must be at least 1"),
        (["SOLVER.MAX_ITER", "0"], "SOLVER.MAX_ITER is 0"),
        (["SOLVER.MAX_SKIPPED", "-1"], "SOLVER.MAX_SKIPPED"),
        (["DATALOADER.NUM_WORKERS", "-1"], "DATALOADER.NUM_WORKERS"),
        (["DATALOADER.SAMPLER_TRAIN", "RepeatSampler"], "'RepeatFactorTrainingSampler'"),
        (["MODEL.CLASS_WEIGHTS", "invers"], "Did you mean 'inverse'"),
        (["MODEL.CLASS_WEIGHTS", "[1, 2"], "MODEL.CLASS_WEIGHTS"),
        (["MODEL.CLASS_WEIGHTS", "2001-01-01"], "MODEL.CLASS_WEIGHTS"),
        (["MODEL.CLASS_WEIGHTS", "!!x"], "MODEL.CLASS_WEIGHTS"),
        (["DATASETS.TRAIN", "()"], "DATASETS.TRAIN is empty"),
        (["DATASETS.INVALID_BOXES", "keep"], "DATASETS.INVALID_BOXES"),
        (["DATASETS.BROKEN_IMAGES", "keep"], "DATASETS.BROKEN_IMAGES"),
        (["INPUT.AUGMENTATION", "sdd"], "INPUT.AUGMENTATION"),
        (["INPUT.RANDOM_FLIP", "both"], "'none', 'horizontal', 'vertical'"),
        (["RECORD.PERIOD", "-1"], "RECORD.PERIOD"),
        (["TEST.COCO_LIBRARY", "coco"], "TEST.COCO_LIBRARY"),
        (["MODEL.DEVICE", "gpu"], "MODEL.DEVICE is 'gpu'"),
        (["MODEL.RESNETS.DEPTH", "42"], "18, 34, 50"),
        (["MODEL.FPN.FUSE_TYPE", "mean"], "'sum', 'avg'"),
        (["MODEL.FPN.NORM", "BM"], "MODEL.FPN.NORM is 'BM', but there is no 'BM'"),
        (["MODEL.RETINANET.IN_FEATURES", "['p3', 'p9']"], "MODEL.RETINANET.IN_FEATURES is ['p3'"),
        (["MODEL.RETINANET.IN_FEATURES", "['res4']"], "MODEL.RETINANET.IN_FEATURES is ['res4']"),
        (["MODEL.FPN.IN_FEATURES", "['res9']"], "MODEL.FPN.IN_FEATURES is ['res9']"),
        (["MODEL.PIXEL_MEAN", "[1.0, 2.0]"], "MODEL.PIXEL_MEAN has 2 numbers, but images in"),
        (["INPUT.FORMAT", "BRG"], "INPUT.FORMAT is 'BRG'"),
        (["MODEL.META_ARCHITECTURE", "ImbRetinanet"], "Did you mean 'ImbRetinaNet'"),
        (["MODEL.ANCHOR_GENERATOR.SIZES", "[[32], [64]]"], "sizes of length 2"),
        (["MODEL.RETINANET.IOU_THRESHOLDS", "[0.5]"], "IOU_LABELS is [0, -1, 1]: with"),
        (["MODEL.RETINANET.IOU_THRESHOLDS", "[0.5, 0.4]"], "the lowest first"),
        (["MODEL.RETINANET.PRIOR_PROB", "1.0"], "above 0 and below 1"),
        (["MODEL.RETINANET.BBOX_REG_WEIGHTS", "(1.0, 1.0)"], "four numbers"),
        (["MODEL.RETINANET.NMS_THRESH_TEST", "1.5"], "it must be from 0 to 1"),
        (["INPUT.MIN_SIZE_TRAIN", "()"], "INPUT.MIN_SIZE_TRAIN is ()"),
        (["INPUT.MIN_SIZE_TRAIN", "(-10,)"], "INPUT.MIN_SIZE_TRAIN is (-10,)"),
        (["SOLVER.BASE_LR", "-0.1"], "SOLVER.BASE_LR is -0.1"),
        (["SOLVER.WARMUP_ITERS", "-5"], "SOLVER.WARMUP_ITERS is -5"),
        (["SOLVER.STEPS", "(400, 200)"], "SOLVER.STEPS is (400, 200): it must be in ascending"),
        (["configs/Loss-AP.yaml"], "--config-file configs/Loss-AP.yaml"),
        (["SEED", "1", "--json"], "'--json' is an option: it stands before"),
    ],
)
def test_refuses_what_a_training_would_refuse(opts, words, capsys):
    assert main(["config", "check", "--config-file", RETINANET, *opts]) == 2
    assert words in capsys.readouterr().err


def test_lists_all_methods(capsys):
    assert main(["methods"]) == 0
    words = capsys.readouterr().out.split()
    assert len(REGISTRIES) == 6
    for names in REGISTRIES:
        for name, _ in names:
            assert name in words
    assert "MODEL.CLS_LOSS.RANK_SORT.DELTA:" in words
    assert "https://arxiv.org/abs/1904.06373" in words
    assert "MODEL.CARL.ENABLED" in words
    assert "Loss-AP" in words


def test_explains_the_options_of_a_method(capsys):
    assert main(["methods", "ohem"]) == 0
    out = capsys.readouterr().out
    assert out.count("MODEL.SAMPLER.OHEM.NMS_THRESH: 1.0") == 2  # for positives and for negatives
    assert "copies of one hard region" in " ".join(out.split())
    assert "focal" not in out
    assert main(["methods", "OHEM"]) == 0
    assert capsys.readouterr().out == out
    assert main(["methods", "ohm"]) == 2
    assert "'ohem'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["PISA", "pisa", "PISA.yaml", "imbdet://PISA.yaml"])
def test_shows_what_a_piece_sets(name, capsys):
    assert main(["methods", name]) == 0
    out = capsys.readouterr().out
    assert "imbdet://PISA.yaml" in out
    assert "MODEL.SAMPLER.NEGATIVE.NAME: score_hlr" in out
    assert "soft_sampling" not in out


def test_answers_are_json_on_demand(tmp_path, capsys):
    (config,) = write(tmp_path, own="_BASE_: imbdet://Loss-AP.yaml\nSEED: 6\nVERSION: 2\n")

    def answer(*args):
        assert main([*args, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    about = answer("config", "explain", "INPUT.SSD.SIZE", "SOLVER.STEPS")
    assert about["INPUT.SSD.SIZE"] == {
        "default": 512,
        "range": "at least 1",
        "meaning": "Side of the square, in pixels.",
    }
    assert about["SOLVER.STEPS"]["range"] == ""
    assert answer("config", "diff", "--config-file", config)["keys"] == {"SEED": [-1, 6]}
    assert answer("config", "check", "--config-file", RETINANET)["model"] == "ImbRetinaNet"
    answers = answer("methods", "ap", "Loss-AP")
    assert answers["methods"][0]["options"]["MODEL.CLS_LOSS.AP.DELTA"] == 1.0
    assert answers["methods"][0]["ranges"]["MODEL.CLS_LOSS.AP.DELTA"] == "at least 0"
    assert answers["pieces"][0]["keys"]["MODEL.CLS_LOSS.NAME"] == "ap"
