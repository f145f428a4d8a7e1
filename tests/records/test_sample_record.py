import pytest
import torch

from tests.records.factories import NUM_CLASSES, make_record


@pytest.mark.parametrize("softmax", [False, True])
def test_scores_and_gradient_norms_are_their_definitions(softmax):
    record = make_record(softmax=softmax)
    probs = (
        record.samples.pred_logits.softmax(dim=1)
        if softmax
        else record.samples.pred_logits.sigmoid()
    )
    for row, label in enumerate(record.samples.gt_labels.tolist()):
        is_positive = 0 <= label < NUM_CLASSES
        score = probs[row, label] if is_positive else probs[row, :NUM_CLASSES].max()
        torch.testing.assert_close(record.scores[row], score)
        target = 1.0 if is_positive else 0.0
        torch.testing.assert_close(record.grad_norms[row], (score - target).abs())


def test_a_gradient_norm_is_that_of_the_cross_entropy():
    record = make_record()
    logits = record.samples.pred_logits.clone().requires_grad_()
    targets = torch.zeros_like(logits)
    targets[record.samples.pos_idxs, record.samples.gt_labels[record.samples.pos_idxs]] = 1
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    norms = torch.autograd.grad(loss, logits)[0].abs()
    rows = record.samples.pos_idxs
    torch.testing.assert_close(record.grad_norms[rows], norms[rows, record.samples.gt_labels[rows]])
    is_negative = record.samples.gt_labels == NUM_CLASSES
    torch.testing.assert_close(record.grad_norms[is_negative], norms[is_negative].amax(dim=1))


def test_ranks_are_their_definitions():
    record = make_record()
    positives = [
        (iou, int(gt), int(label))
        for iou, gt, label in zip(
            record.samples.positives.pred_ious.tolist(),
            record.samples.gt_idxs[record.samples.pos_idxs],
            record.samples.gt_labels[record.samples.pos_idxs],
            strict=True,
        )
    ]
    local = [sum(o[1] == p[1] and o[0] > p[0] for o in positives) for p in positives]
    assert record.local_ranks.tolist() == local
    order = [(rank, -p[0]) for rank, p in zip(local, positives, strict=True)]
    hierarchical = [
        sum(o[2] == p[2] and order[j] < order[i] for j, o in enumerate(positives))
        for i, p in enumerate(positives)
    ]
    assert record.hierarchical_ranks.tolist() == hierarchical


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, softmax):
    record, exact = make_record(softmax=softmax, dtype=dtype), make_record(softmax=softmax)
    assert record.scores.dtype == torch.float32
    torch.testing.assert_close(record.scores, exact.scores, atol=0.02, rtol=0)


def test_everything_is_detached():
    record = make_record(weighted=True)
    positives = record.samples.positives
    columns = (
        *(record.samples.pred_logits, record.cls_losses, record.box_losses, record.scores),
        *(record.grad_norms, positives.pred_deltas, positives.pred_boxes, positives.pred_ious),
    )
    assert not any(column.requires_grad for column in columns)


def test_no_samples():
    record = make_record((0, 0))
    assert len(record.scores) == len(record.grad_norms) == 0
    assert len(record.local_ranks) == len(record.hierarchical_ranks) == 0
