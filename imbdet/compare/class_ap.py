"""Which classes gain and which lose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from imbdet.compare.bootstrap import Estimate, estimate
from imbdet.compare.coco_table import as_columns
from imbdet.wording import counted


@dataclass(frozen=True)
class ClassAP:
    """AP of the classes that have objects, in percent.

    Attributes:
        classes: names, those that gain most (on average over the runs) first.
        num_objects: of each class.
        values: by run, the baseline first, of each class.
        differences: to the baseline, by all other runs, of each class.
    """

    classes: Sequence[str]
    num_objects: Sequence[int]
    values: Mapping[str, Sequence[float]]
    differences: Mapping[str, Sequence[Estimate]]

    def table(self) -> pa.Table:
        """See :class:`Numbers`; a row for each run and class."""
        rows = []
        for run, values in self.values.items():
            differences = self.differences.get(run, [None] * len(values))
            for i, name in enumerate(self.classes):
                row = {"run": run, "class": name, "objects": self.num_objects[i], "AP": values[i]}
                rows.append({**row, **as_columns("difference", differences[i])})
        return pa.Table.from_pylist(rows)

    def sentence(self) -> str:
        """See :class:`Numbers`."""
        parts = []
        for run, differences in self.differences.items():
            verdicts = [difference.verdict for difference in differences]
            best, worst = (
                pick(range(len(verdicts)), key=lambda i: differences[i].value)
                for pick in (max, min)
            )
            parts.append(
                f"{run} is better in {verdicts.count('better')} of "
                f"{counted(len(verdicts), 'class', 'classes')}, worse in "
                f"{verdicts.count('worse')}, undecided in {verdicts.count('undecided')}; from "
                f"{differences[worst].value:+.1f} ({self.classes[worst]}) to "
                f"{differences[best].value:+.1f} ({self.classes[best]})"
            )
        return " ".join(f"{part}." for part in parts)


def class_ap(
    classes: Sequence[str],
    num_objects: np.ndarray,
    num_images: np.ndarray,
    resampled: Mapping[str, np.ndarray],
) -> ClassAP:
    """Compare the classes.

    Args:
        classes: K names.
        num_objects: (K,) int64, not all 0.
        num_images: (K,) int64, images with such objects.
        resampled: by run, the baseline first, (1 + B, K, A, T) of :func:`resampled_ap`.
    """
    ap = {run: values[:, :, 0].mean(axis=-1) for run, values in resampled.items()}  # (1 + B, K)
    baseline, *others = ap
    changes = np.mean([ap[run][0] - ap[baseline][0] for run in others], axis=0)
    order = [int(k) for k in np.argsort(-changes, kind="stable") if num_objects[k]]
    return ClassAP(
        classes=[classes[k] for k in order],
        num_objects=[int(num_objects[k]) for k in order],
        values={run: ap[run][0, order].tolist() for run in ap},
        differences={
            run: [estimate((ap[run] - ap[baseline])[:, k], num_images[k]) for k in order]
            for run in others
        },
    )
