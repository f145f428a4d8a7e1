"""From a config and a checkpoint to a folder of tables, figures and pictures."""

import argparse
import logging
from pathlib import Path

from imbdet.analysis.analysed_images import load_dataset_dicts
from imbdet.analysis.analysis_writer import ResultWriter
from imbdet.analysis.collector import Collector
from imbdet.analysis.frozen_detector import FrozenDetector
from imbdet.analysis.selection_pictures import find_rows
from imbdet.engine import setup_frozen
from imbdet.errors import UserError
from imbdet.evaluation.detection_pictures import find_earlier_pictures
from imbdet.figures.study import remove_report
from imbdet.modeling.site_keys import cls_loss_name
from imbdet.wording import counted

logger = logging.getLogger(__name__)


def analyze(args: argparse.Namespace) -> None:
    """Analyse the candidates of a frozen detector.

    Args:
        args: arguments of ``imbdet analyze``: ``config_file``, ``weights``, ``dataset``,
            ``output``, ``num_images``, ``picture`` and ``opts``.

    Raises:
        UserError: the config, the weights, the data set or the folder cannot be used.
    """
    if args.num_images is not None and args.num_images < 1:
        raise UserError(f"--num-images is {args.num_images}; it must be at least 1.")
    # Quoted, so that a name that looks like a number stays a name.
    opts = [] if args.dataset is None else ["DATASETS.TEST", repr((args.dataset,))]
    earlier = find_earlier_pictures(Path(args.output))
    cfg = setup_frozen(args, "analysis", opts)
    if not cfg.DATASETS.TEST:
        raise UserError("DATASETS.TEST is empty: name a data set by --dataset.")
    dataset_dicts = load_dataset_dicts(cfg, cfg.DATASETS.TEST[0], args.num_images)
    # A name that no image has is reported before all the work.
    ids = [str(image["image_id"]) for image in dataset_dicts]
    find_rows(ids, [image["file_name"] for image in dataset_dicts], args.picture)
    detector = FrozenDetector(cfg)
    cfg = detector.cfg
    if not cfg.MODEL.WEIGHTS:
        logger.warning("There are no weights: this analyses an untrained model.")
    if not detector.has_sample_losses:
        logger.warning(
            f"The loss '{cls_loss_name(cfg, detector.site)}' is one of the whole ranking, not of "
            "each sample: where the figures need a sample's loss, they take its cross-entropy."
        )
    logger.info(f"Looking at the candidates of {counted(len(dataset_dicts), 'image')}.")
    for path in earlier:
        path.unlink()
    output = Path(cfg.OUTPUT_DIR)
    remove_report(output)
    counts = Collector(cfg, detector).collect(dataset_dicts, output / "tables")
    results = ResultWriter(cfg, detector, dataset_dicts, counts, output)
    results.write_figures()
    results.write_pictures(args.picture)
    logger.info(f"Everything is in '{output}'.")
