"""Candidates and samples with given numbers, without a detector."""

import torch

from imbdet.structures import Candidates, Outputs, Priors, Samples, Targets
from imbdet.structures.classifiers import SIGMOID, SOFTMAX, Classifier


class GivenScores(Classifier):
    """A classifier whose logits are the scores, so that a test can give them to the last bit."""

    name, num_extra, has_prior, sums_to_one = "given", 0, False, False

    def scores(self, logits):
        return logits

    def scores_of(self, classes, logits):
        return logits.gather(1, classes[:, None]).squeeze(1)

    def best_classes(self, logits):
        return logits.argmax(dim=1)

    def predict(self, logits):
        return logits.argmax(dim=1)


def make_candidates(
    gt_labels,
    gt_idxs,
    *,
    num_classes,
    ious=None,
    num_per_image=None,
    boxes=None,
    gt_boxes=None,
    outputs=None,
    cls_losses=None,
):
    """Candidates of one image, or of several, whose priors are proposals."""
    num_rows = len(gt_labels)
    counts = [num_rows] if num_per_image is None else list(num_per_image)
    num_objects = int(gt_idxs.max()) + 1 if num_rows else 0
    gt_boxes = torch.zeros(num_objects, 4) if gt_boxes is None else gt_boxes
    boxes = torch.zeros(num_rows, 4) if boxes is None else boxes
    return Candidates(
        gt_labels=gt_labels,
        gt_idxs=gt_idxs,
        ious=torch.zeros(num_rows) if ious is None else ious,
        num_per_image=counts,
        num_classes=num_classes,
        priors=Priors(boxes, num_per_image=counts),
        targets=Targets(gt_boxes, torch.zeros(len(gt_boxes), dtype=torch.int64)),
        outputs=outputs,
        cls_losses=cls_losses,
    )


def make_samples(candidates, logits, deltas, coder, *, classifier=None):
    """Samples with these predictions; by default the number of columns gives the classifier."""
    if classifier is None:
        classifier = SOFTMAX if logits.shape[1] > candidates.num_classes else SIGMOID
    outputs = Outputs(logits, deltas=deltas, box2box_transform=coder, classifier=classifier)
    return Samples(candidates, outputs)
