"""Test images with their ground truth: resized as in a test, annotated as in training."""

from collections.abc import Iterable, Sequence

from detectron2.config import CfgNode
from detectron2.data import DatasetFromList, MetadataCatalog, build_detection_test_loader
from detectron2.data.detection_utils import build_augmentation

from imbdet.data import load_dataset
from imbdet.data.broken_images import StrictMapper
from imbdet.data.mappers import TrainMapper
from imbdet.data.proposals import with_proposals
from imbdet.data.weights import weigh_records


def load_dataset_dicts(cfg: CfgNode, dataset_name: str, num_images: int | None) -> list[dict]:
    """The images of a data set, checked, without invalid boxes.

    Objects and images have the weights of their annotations, without those of MODEL.CLASS_WEIGHTS,
    which are made of the numbers of objects of a training.

    Args:
        cfg: the config.
        dataset_name: a registered data set.
        num_images: number of images, spread evenly over the data set; None = all.

    Returns:
        detectron2's dicts, each with "annotations".

    Raises:
        UserError: see :func:`load_dataset` and :func:`weigh_records`.
    """
    dataset_dicts = load_dataset(_of_boxes(cfg), dataset_name, training=True)
    classes = MetadataCatalog.get(dataset_name).thing_classes
    dataset_dicts = weigh_records(dataset_dicts, factors=[1.0] * len(classes))
    dataset_dicts = with_proposals(cfg, dataset_dicts, dataset_name)
    if num_images is None or num_images >= len(dataset_dicts):
        return dataset_dicts
    return [dataset_dicts[i * len(dataset_dicts) // num_images] for i in range(num_images)]


def build_loader(cfg: CfgNode, dataset_dicts: Sequence[dict]) -> Iterable[list[dict]]:
    """Yield each image once, in their order, alone in a list.

    Raises:
        UserError: while iterating, an image is broken.
    """
    dataset = DatasetFromList(list(dataset_dicts), copy=False)
    mapper = TrainMapper(
        _of_boxes(cfg), is_train=True, augmentations=build_augmentation(cfg, is_train=False)
    )
    return build_detection_test_loader(
        dataset, mapper=StrictMapper(mapper, dataset), num_workers=cfg.DATALOADER.NUM_WORKERS
    )


def _of_boxes(cfg: CfgNode) -> CfgNode:
    """The config of a detector without masks and keypoints, as only boxes are analysed."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.MODEL.MASK_ON = cfg.MODEL.KEYPOINT_ON = False
    return cfg
