"""Balanced group softmax (BAGS): classes compete only with those that are about as frequent.

Li et al., "Overcoming Classifier Imbalance for Long-tail Object Detection with Balanced Group
Softmax", CVPR 2020, https://arxiv.org/abs/2006.10408

Shape shorthand: M samples, K classes, G groups, C = K + 1 + G columns of logits.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from imbdet.losses.class_cross_entropy import check_class_numbers, check_columns, used_logits
from imbdet.losses.class_frequencies import KnownFrequencies
from imbdet.losses.reduction import reduce_losses
from imbdet.methods import CLS_LOSSES
from imbdet.methods.options import Bounds, NonNegative, checked
from imbdet.ops.exchange import Pool, total
from imbdet.ops.labels import check_labels, weighted_labels
from imbdet.ops.precision import at_least_float32
from imbdet.structures.classifiers import Classifier


class BalancedGroups:
    """Classes by the number of their samples, and the background in a group of its own, the last.

    Each group has columns of logits: one for the classes of all other groups ("others"), then its
    own classes, ascending.

    Attributes:
        num_classes: K.
        sizes: G numbers of columns.
        targets: (G, K + 1) int64, the target column within each group for a label; 0 where the
            label belongs to the others.
    """

    def __init__(self, counts: Tensor, bounds: Sequence[int] = (10, 100, 1000)):
        """Make the groups.

        Args:
            counts: (K,) number of training samples of each class.
            bounds: ascending numbers of samples; a class goes to the group after the last bound
                that is not above its number. A group may be empty.

        Raises:
            ValueError: counts are no vector, or one is negative; or bounds do not ascend.
        """
        check_class_numbers("counts", counts, counts.numel())
        if list(bounds) != sorted(set(bounds)):
            raise ValueError(f"bounds must ascend, not {tuple(bounds)}")
        self.num_classes = len(counts)
        bins = torch.bucketize(counts, torch.tensor(bounds, device=counts.device), right=True)
        groups = torch.cat([bins, bins.new_tensor([len(bounds) + 1])])
        is_member = groups == torch.arange(len(bounds) + 2, device=counts.device)[:, None]
        self.sizes = (1 + is_member.sum(dim=1)).tolist()
        self.targets: Tensor = is_member.cumsum(dim=1) * is_member

    @property
    def num_columns(self) -> int:
        """C, the number of columns of the logits."""
        return sum(self.sizes)

    def targets_of(self, gt_labels: Tensor) -> Tensor:
        """(G, M) target columns for labels (M,); those of ignored samples have no meaning."""
        return self.targets.to(gt_labels.device)[:, gt_labels.clamp(min=0)]

    def scores(self, pred_logits: Tensor) -> Tensor:
        """Scores of the classes and the background.

        The score of a class is its softmax within its group, times that of the foreground.

        Args:
            pred_logits: (M, C) logits.

        Returns:
            (M, K + 1) in [0, 1], the background last, float32 at least.
        """
        groups = at_least_float32(pred_logits).split(self.sizes, dim=1)
        probabilities = [logits.softmax(dim=1) for logits in groups]
        foreground, background = probabilities[-1].split(1, dim=1)
        scores: Tensor = background.repeat(1, self.num_classes + 1)
        for target, in_group in zip(self.targets[:-1], probabilities[:-1], strict=True):
            classes = target.nonzero().squeeze(1).to(scores.device)
            scores[:, classes] = in_group[:, 1:] * foreground
        return scores


@checked
def draw_group_samples(
    gt_labels: Tensor,
    groups: BalancedGroups,
    *,
    beta: NonNegative = 8.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw the samples that each group learns from: its own, and some of the others.

    A group without own samples learns nothing; that of the background learns from all samples.

    Args:
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        groups: groups of the classes.
        beta: number of others drawn for each own sample.
        generator: generator on the device of the labels; None is torch's.

    Returns:
        (G, M) bool; ignored samples are in no group.
    """
    is_used = gt_labels >= 0
    is_own = (groups.targets_of(gt_labels) > 0) & is_used
    chosen = is_own.clone()
    chosen[-1] = is_used
    for own, row in zip(is_own[:-1], chosen[:-1], strict=True):
        others = (is_used & ~own).nonzero().squeeze(1)
        order = torch.randperm(len(others), generator=generator, device=others.device)
        row[others[order[: int(beta * int(own.sum()))]]] = True
    return chosen


def balanced_group_loss(
    pred_logits: Tensor,
    gt_labels: Tensor,
    groups: BalancedGroups,
    samples: Tensor,
    *,
    weights: Tensor | None = None,
    reduction: str = "none",
    group: ProcessGroup | None = None,
) -> Tensor:
    """Cross-entropy of the softmax within each group, a mean over its samples, summed over groups.

    Args:
        pred_logits: (M, C) logits.
        gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
        groups: groups of the classes.
        samples: (G, M) bool, whether each group learns from each sample, as
            :func:`draw_group_samples` returns it.
        weights: (M,) finite weights >= 0 of the samples in the means, or None for ones. A row of
            weight 0 counts as ignored.
        reduction: "none" or "sum".
        group: processes over whose samples the means are taken; None is this one alone.

    Returns:
        (M,) losses, 0 for ignored samples; or their sum, which is the loss and needs no normalizer.

    Raises:
        ValueError: the shapes differ.
    """
    check_labels(pred_logits, gt_labels, groups.num_classes)
    check_columns(pred_logits, groups.num_columns)
    expected = len(groups.sizes), len(gt_labels)
    if samples.shape != expected:
        raise ValueError(f"samples must have the shape {expected}, not {tuple(samples.shape)}")
    gt_labels = weighted_labels(gt_labels, weights)
    by_group = used_logits(pred_logits, gt_labels).split(groups.sizes, dim=1)
    samples = samples & (gt_labels >= 0)
    losses = torch.stack(
        [
            F.cross_entropy(logits, target, reduction="none")
            for logits, target in zip(by_group, groups.targets_of(gt_labels), strict=True)
        ]
    )
    parts = samples.to(losses) if weights is None else samples * weights.detach().to(losses)
    totals = total(parts.sum(dim=1, keepdim=True, dtype=torch.float64), group)
    shares = parts / totals.where(totals > 0, 1).to(losses)
    return reduce_losses((losses * shares).sum(dim=0), None, reduction)


class GroupSoftmax(Classifier):
    """The softmax within the group of a class, times the score of the foreground."""

    name, has_prior, sums_to_one = "softmax of groups", False, False

    def __init__(self, groups: Callable[[], BalancedGroups], num_groups: int):
        """Set the groups.

        Args:
            groups: function that returns the groups.
            num_groups: G, the number of groups.
        """
        self.groups = groups
        self.num_extra = 1 + num_groups

    def scores(self, logits: Tensor) -> Tensor:
        return self.groups().scores(logits)[:, :-1]

    def scores_of(self, classes: Tensor, logits: Tensor) -> Tensor:
        return self.scores(logits).gather(1, classes[:, None]).squeeze(1)

    def best_classes(self, logits: Tensor) -> Tensor:
        return self.scores(logits).argmax(dim=1)

    def predict(self, logits: Tensor) -> Tensor:
        return self.groups().scores(logits).argmax(dim=1)


@CLS_LOSSES.register(
    "bags",
    "Balanced group softmax: a softmax for each group of classes that are about as frequent.",
    "Li et al., CVPR 2020, https://arxiv.org/abs/2006.10408",
    activation="softmax of groups",
    is_normalized=True,
    takes=("group", "generator", "weights"),
    balances_classes=True,
)
class BalancedGroupLoss(nn.Module):
    """:func:`balanced_group_loss` of groups by the numbers of objects in the training data.

    Attributes:
        classifier: classifier that makes scores from the logits.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        bounds: Bounds = (10, 100, 1000),
        beta: NonNegative = 8.0,
    ):
        """Start without frequencies.

        Args:
            num_classes: K.
            bounds: numbers of objects at which the groups of more frequent classes begin,
                ascending. A group may be empty.
            beta: number of other samples that a group learns from, for each of its own.
        """
        super().__init__()
        self.bounds, self.beta = bounds, beta
        self.frequencies = KnownFrequencies(num_classes)
        self.classifier = GroupSoftmax(self.groups, len(bounds) + 2)

    def groups(self) -> BalancedGroups:
        """The groups, as far as the frequencies are known."""
        return BalancedGroups(self.frequencies.numbers("instances"), self.bounds)

    def forward(
        self,
        pred_logits: Tensor,
        gt_labels: Tensor,
        group: ProcessGroup | None = None,
        generator: torch.Generator | None = None,
        *,
        weights: Tensor | None = None,
    ) -> Tensor:
        """Draw the samples of each group, and compute their losses.

        Args:
            pred_logits: (M, C) logits.
            gt_labels: (M,) int64, [0, K) foreground, K background, -1 ignored.
            group: processes whose samples are drawn from, and averaged, together, all with the same
                generator; None is this one alone.
            generator: generator on the device of the labels; None is torch's.
            weights: see :func:`balanced_group_loss`; draws are the same for all weights above 0.

        Returns:
            (M,) losses, 0 for ignored samples. Their sum, over all processes, is the loss.
        """
        gt_labels = weighted_labels(gt_labels, weights)
        groups, pool = self.groups(), Pool(len(gt_labels), group, gt_labels.device)
        samples = draw_group_samples(
            pool.join(gt_labels), groups, beta=self.beta, generator=generator
        )[:, pool.own]
        return balanced_group_loss(
            pred_logits, gt_labels, groups, samples, weights=weights, group=group
        )
