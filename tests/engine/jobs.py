"""Jobs for the tests of launching and of failures of a training."""

import argparse

from imbdet.cli import build_parser
from imbdet.config_files.addresses import configs_folder
from imbdet.engine import launch
from tests.narrow import NARROW

SMALL = {
    **NARROW,
    "MODEL.FPN.OUT_CHANNELS": 32,
    "DATASETS.SHAPES.NUM_TRAIN": 12,
    "DATASETS.SHAPES.NUM_VAL": 4,
    "DATASETS.SHAPES.IMAGE_SIZE": 64,
    "DATASETS.SHAPES.OBJECT_SIZE": "(8, 32)",
    "INPUT.MIN_SIZE_TRAIN": "(64,)",
    "INPUT.MIN_SIZE_TEST": 64,
    "SOLVER.MAX_ITER": 3,
    "SOLVER.STEPS": "()",
    "SOLVER.IMS_PER_BATCH": 4,
    "DATALOADER.NUM_WORKERS": 0,
    "TEST.NUM_PICTURES": 0,
}


def arguments(output_dir, *flags, **overrides):
    """The command line of a small training."""
    pairs = {**SMALL, "OUTPUT_DIR": output_dir, **overrides}
    config = configs_folder() / "quick_start" / "retinanet.yaml"
    return ["--config-file", str(config), *flags, *(str(x) for pair in pairs.items() for x in pair)]


def start(run, num_processes=2, timeout=60.0, **attributes):
    """Run a function in processes, and return the exit status."""
    argv = ["train", "--num-processes", str(num_processes), "--timeout", str(timeout)]
    args = argparse.Namespace(**{**vars(build_parser().parse_args(argv)), **attributes})
    return launch(run, args)
