"""Prepares a run from the command line: a checked config, a log and seeded random numbers."""

import argparse
import logging
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import detectron2
import numpy
import torch
import torch.distributed as dist
import torchvision
from detectron2.config import CfgNode
from detectron2.modeling.anchor_generator import ANCHOR_GENERATOR_REGISTRY
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from imbdet.config import load_config
from imbdet.config.values import refuse_values
from imbdet.config_files.keys import MAX_SEED, changed_keys, get_key
from imbdet.data import register_datasets, require_equal_shares
from imbdet.data.proposals import check_proposal_keys
from imbdet.data.summary import DataSummary
from imbdet.data.workers import share_temporary_folder
from imbdet.engine.agreement import require_agreement
from imbdet.engine.checkpoint_folder import CheckpointFolder
from imbdet.engine.lock import lock_folder
from imbdet.engine.logs import setup_logging
from imbdet.engine.restarts import has_begun, note_begin
from imbdet.engine.run_info import write_run_info
from imbdet.errors import UserError
from imbdet.files import replacing
from imbdet.modeling.augmented_tests import refuse_test_augmentation
from imbdet.modeling.detector_kind import bases_of, modules_of
from imbdet.modeling.registry import lookup
from imbdet.modeling.unread_keys import refuse_unread_keys
from imbdet.untrusted.plain_yaml import load_yaml
from imbdet.untrusted.reading import read_text

logger = logging.getLogger(__name__)

# Parts of detectron2 that are not for detectors of objects in upright boxes.
_OTHER_DETECTORS = {
    "PanopticFPN": "also segments what is no object",
    "SemanticSegmentor": "segments images",
    "ProposalNetwork": "finds boxes without classes",
    "RRPN": "finds rotated boxes",
    "RROIHeads": "finds rotated boxes",
    "RotatedAnchorGenerator": "makes rotated boxes",
}
# Keys that name such parts, each with a part of a detector of upright boxes.
_PARTS = {
    "MODEL.META_ARCHITECTURE": "GeneralizedRCNN",
    "MODEL.PROPOSAL_GENERATOR.NAME": "RPN",
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ANCHOR_GENERATOR.NAME": "DefaultAnchorGenerator",
}

PACKAGES = (torch, torchvision, detectron2, numpy)


def setup(
    args: argparse.Namespace, task: str
) -> tuple[CfgNode, Callable[[DataSummary | None], None]]:
    """Load and check the config, and prepare the process for it. A collective call.

    Args:
        args: arguments with ``config_file``, ``opts`` and ``resume``, which becomes True where
            torchrun has restarted a training that had begun.
        task: name of the task in ``run.json``: "training", or another one, which leaves a training
            in the output folder alone.

    Returns:
        The frozen config, whose ``MODEL.DEVICE`` is "cpu" where there is no GPU; and a function
        that writes ``config.yaml`` and ``run.json`` to the output folder, to be called when the run
        can start, as a run that is refused must not overwrite those of another. It takes a summary
        of the data that the run learns from, or None.

    Raises:
        UserError: the config is bad, a data set is unknown, the output folder cannot be used, or
            processes differ.
    """
    cfg = load_config(*args.config_file, opts=args.opts)
    config_text = cfg.dump()
    require_agreement(config_text)
    no_gpu = check_config(cfg)
    is_training = task == "training"
    if is_training:
        # A restart after a refused start does not resume: the run in the folder is another one.
        args.resume = args.resume or has_begun()
    _prepare_output_dir(cfg.OUTPUT_DIR, is_training=is_training, resume=args.resume)
    setup_logging(cfg.OUTPUT_DIR, comm.get_rank())
    if no_gpu:
        logger.info("No GPU is used: MODEL.DEVICE is 'cpu'.")
    logger.debug(f"{_describe_environment()}; {task}, {args}")
    share_temporary_folder()
    seed_all_rng(None if cfg.SEED < 0 else (cfg.SEED + comm.get_rank()) % (MAX_SEED + 1))
    _set_float32_precision(cfg.get("FLOAT32_PRECISION", ""), cfg.MODEL.DEVICE)
    torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK and is_training

    def keep_start(data: DataSummary | None) -> None:
        if not comm.is_main_process():
            return
        if is_training:
            if args.resume:
                _tell_changes(cfg)
            with replacing(Path(cfg.OUTPUT_DIR, "config.yaml")) as draft:
                # The config has the device that was asked for, as the next machine may have it.
                draft.write_text(config_text)
        write_run_info(cfg, args, task, PACKAGES, data)
        if is_training:
            note_begin()

    return cfg, keep_start


def setup_frozen(args: argparse.Namespace, task: str, opts: Sequence[str] = ()) -> CfgNode:
    """:func:`setup` for a program that reads trained weights and writes to a folder.

    Args:
        args: arguments with ``config_file``, ``opts``, ``weights`` (None leaves MODEL.WEIGHTS) and
            ``output``, which becomes OUTPUT_DIR.
        task: see :func:`setup`.
        opts: overrides that take precedence over those of ``args``.
    """
    # Names are quoted, so that one that looks like a number stays a name.
    opts = [*args.opts, "OUTPUT_DIR", repr(args.output), *opts]
    if args.weights is not None:
        opts += ["MODEL.WEIGHTS", repr(args.weights)]
    args = argparse.Namespace(config_file=args.config_file, opts=opts, resume=False)
    cfg, keep_start = setup(args, task)
    keep_start(None)
    return cfg


def check_config(cfg: CfgNode) -> bool:
    """Check a config, and freeze it. ``MODEL.DEVICE`` becomes "cpu" where there is no GPU.

    Returns:
        Whether the device was changed.

    Raises:
        UserError: a key is not read, not supported or out of range, or a data set is unknown.
    """
    no_gpu = cfg.MODEL.DEVICE.startswith("cuda") and not _has_gpu()
    if no_gpu:
        cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    refuse_values(cfg)
    _refuse_unsupported(cfg)
    refuse_unread_keys(cfg)
    register_datasets(cfg)
    return no_gpu


def _refuse_unsupported(cfg: CfgNode) -> None:
    _refuse_other_detectors(cfg)
    check_proposal_keys(cfg)
    refuse_test_augmentation(cfg)
    if cfg.SOLVER.AMP.ENABLED and cfg.MODEL.DEVICE == "cpu":
        raise UserError("SOLVER.AMP.ENABLED needs a GPU: set it to False to train on the CPU.")
    num_processes = comm.get_world_size()
    if num_processes > 1 and cfg.MODEL.DEVICE == "cpu" and dist.get_backend() == "nccl":
        raise UserError("MODEL.DEVICE is 'cpu': start its processes by --num-processes.")
    # With a REFERENCE_WORLD_SIZE detectron2 scales the batch to the number of processes.
    require_equal_shares(cfg, cfg.SOLVER.REFERENCE_WORLD_SIZE or num_processes)


def _refuse_other_detectors(cfg: CfgNode) -> None:
    anchors = cfg.MODEL.ANCHOR_GENERATOR.NAME
    parts = {
        **modules_of(cfg),
        anchors: lookup(ANCHOR_GENERATOR_REGISTRY, anchors, "MODEL.ANCHOR_GENERATOR.NAME"),
    }
    for name, part in parts.items():
        for base in _OTHER_DETECTORS.keys() & set(bases_of(part)):
            key = next(key for key in _PARTS if get_key(cfg, key) == name)
            raise UserError(
                f"{key} is {name!r}, which {_OTHER_DETECTORS[base]}, but imbdet is for detectors "
                f"of objects in upright boxes: choose another one, such as {_PARTS[key]!r}."
            )


def _set_float32_precision(precision: str, device: str) -> None:
    """Set torch's precision as `default_setup` of detectron2's main branch; "" leaves it."""
    if precision and device.startswith("cuda"):
        torch.set_float32_matmul_precision(precision)
        torch.backends.cudnn.allow_tf32 = precision != "highest"


def _tell_changes(cfg: CfgNode) -> None:
    """Warn of keys that differ from those at the last start of the run in the output folder."""
    folder = Path(cfg.OUTPUT_DIR)
    file = folder / "config.yaml"
    if not (CheckpointFolder(folder).holds_run() and file.exists()):
        return  # no run is resumed
    try:
        before = load_yaml(read_text(file))
        # Both are compared as YAML, where tuples are lists.
        changes = changed_keys(load_yaml(cfg.dump()), before)
    except (OSError, ValueError, AttributeError) as error:
        logger.warning(
            f"'{file}' is damaged ({error}): whether the run goes on with another config is not "
            "known."
        )
        return
    named = [
        f"{key} was {old!r} and is {new!r}"
        for key, (old, new) in changes.items()
        if key not in ("OUTPUT_DIR", "MODEL.DEVICE")  # the folder may have moved
    ]
    if named:
        logger.warning(f"The run goes on with another config: {', '.join(named)}.")


def _has_gpu() -> bool:
    """Whether this process has a GPU."""
    is_on_cpu = dist.is_initialized() and dist.get_backend() == "gloo"
    return torch.cuda.is_available() and not is_on_cpu


def _describe_environment() -> str:
    # detectron2's collect_env calls the compiled extension, which v0.6 may lack.
    packages = ", ".join(f"{module.__name__} {module.__version__}" for module in PACKAGES)
    num_gpus = torch.cuda.device_count()
    gpu = f"{num_gpus} x {torch.cuda.get_device_name()}" if num_gpus else "no GPU"
    return f"{platform.platform()}, Python {platform.python_version()}, {packages}, {gpu}"


def _prepare_output_dir(folder: str, *, is_training: bool, resume: bool) -> None:
    if is_training and not resume and CheckpointFolder(Path(folder)).holds_run():
        raise UserError(
            f"OUTPUT_DIR '{folder}' already holds a run. Go on with it by --resume, choose "
            f"another OUTPUT_DIR, or remove the folder."
        )
    try:
        os.makedirs(folder, exist_ok=True)
        probe = os.path.join(folder, f".writable-{os.getpid()}")
        with open(probe, "w") as file:
            file.write("?")
        os.remove(probe)
    except OSError as error:
        raise UserError(
            f"OUTPUT_DIR '{folder}' cannot be written to ({error.strerror}). Choose another one."
        ) from error
    if is_training:
        if comm.is_main_process():
            lock_folder(Path(folder))
        comm.synchronize()  # no process writes to the folder of another job
