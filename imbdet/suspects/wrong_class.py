"""Objects that may be of another class."""

from functools import cached_property

import numpy as np

from imbdet.suspects.suspect import ObjectKind, Suspect


class WrongClass(ObjectKind):
    """The detector says another class, all through the training.

    With w of n judged sights at which the best positive said another class, the score is
    w / (n + 1): as if one more sight had spoken for the annotation, since few sights say little. It
    is above 1/2 where another class was said at most sights, however low the scores of the detector
    are, which the mean margin depends on (Pleiss et al., "Identifying Mislabeled Data using the
    Area Under the Margin Ranking", NeurIPS 2020); the evidence has both.
    """

    name, title, threshold = "wrong_class", "wrong class", 0.5

    @cached_property
    def scores(self) -> np.ndarray:
        objects = self.evidence.objects
        return np.asarray(objects["wrong"] / (objects["judged"] + 1))

    def suspect(self, row: int) -> Suspect:
        of_row = {name: values[row] for name, values in self.evidence.objects.items()}
        names = self.evidence.classes
        own, wrong, judged = names[int(of_row["class"])], int(of_row["wrong"]), of_row["judged"]
        reason = f"Annotated as '{own}'; another class was said at {wrong} of {judged} sights"
        proposed = None
        if wrong and not np.isnan(of_row["wrong_class"]):
            proposed, least = int(of_row["wrong_class"]), int(of_row["wrong_class_least"])
            reason += f", '{names[proposed]}' at {least} of them or more"
        reason += (
            f". The score of '{own}' less the highest of another class was "
            f"{of_row['margin_mean']:.2f} in the mean."
        )
        return self._suspect(row, reason, proposed_class=proposed)
