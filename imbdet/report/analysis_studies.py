"""The tables of ``imbdet analyze`` by name."""

from collections.abc import Mapping

from imbdet.report.draw_scores import (
    draw_boosting,
    draw_calibration,
    draw_distributions,
    draw_gradients,
    draw_ranks,
    draw_score_shift,
)
from imbdet.report.draw_selections import (
    draw_hardness,
    draw_imbalance,
    draw_overlap,
    draw_sampling_distribution,
)
from imbdet.report.joint import HOW_TO_READ
from imbdet.report.study import Study

_GRADIENTS = (
    "By the norm g of their gradient: how many there are, the mean gradient that a loss makes of "
    "it, and the share of the whole gradient that comes from each bin. A loss is balanced as far "
    "as its shares are not piled up at one end."
)
ANALYSIS: Mapping[str, Study] = {
    "sampling_distribution": Study(
        "What random, hard and prime selection choose",
        "Where samplers differ, hard positives sit at low IoU and high loss, prime ones at high "
        "IoU. A detector without a quota of positives, such as RetinaNet, learns from all of them. "
        + HOW_TO_READ,
        draw_sampling_distribution,
        has_scale=True,
    ),
    "hardness": Study(
        "Hard negatives and overlap",
        "If hard negatives lie to the right of random ones, hardness comes from partial overlap "
        "with objects; if to the left, from look-alikes or from objects that nobody annotated.",
        draw_hardness,
    ),
    "gradients_cls": Study("Gradients of the classification", _GRADIENTS, draw_gradients),
    "gradients_box": Study("Gradients of the boxes", _GRADIENTS, draw_gradients),
    "ranks": Study(
        "Ranks of the positives",
        "Mass at the left is a good ranking. The best box of each object is what becomes a "
        "detection, so its bars matter most.",
        draw_ranks,
    ),
    "overlap": Study(
        "Overlap of the samplers",
        "Jaccard index of what two samplers chose from the same candidates: 1 is the same, 0 "
        "nothing in common.",
        draw_overlap,
    ),
    "calibration": Study(
        "Calibration",
        "Of the entries with some score, how many are right. Below the diagonal the scores are "
        "too high, above it too low.",
        draw_calibration,
    ),
    "distributions": Study(
        "Scores as DR loss weighs them",
        "Nearly all entries are easy. DR loss weighs the positives with low and the negatives with "
        "high scores, and compares the expectations of both, P⁺ and P⁻: apart by the margin, they "
        "cost little more.",
        draw_distributions,
    ),
    "score_shift": Study(
        "Score shift between images",
        "The threshold that is best for each image, and what one for all costs: scores of "
        "different images are comparable as far as the thresholds agree.",
        draw_score_shift,
    ),
    "imbalance": Study(
        "Imbalance of the data",
        "Objects and candidates of each class, sizes of the objects, and how many positives an "
        "object owns: differences of the bars are what samplers and losses have to make up for.",
        draw_imbalance,
    ),
    "boosting": Study(
        "Boosting few positives or many",
        "The detector as it is, and after the scores of each image's first 5 or 25 positives were "
        "raised at an equal fall of the loss: a higher curve for the top 5 says that few prime "
        "positives are worth more than many.",
        draw_boosting,
    ),
}
