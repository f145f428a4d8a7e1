"""Objects that may be of another class."""

from functools import cached_property

import numpy as np

from imbdet.suspects.suspect import ObjectKind, Suspect


class WrongClass(ObjectKind):
    """The detector says another class, all through the training.

    With m the mean margin over n judged sights, which is the score of the object's class less the
    highest of another one, the score is (1 - m) / 2 * n / (n + 1). The first factor is 1/2 where
    another class is as likely. By the second, one more sight would have spoken for the annotation:
    few sights say little. The ranking is that of the area under the margin, Pleiss et al.,
    "Identifying Mislabeled Data using the Area Under the Margin Ranking", NeurIPS 2020.
    """

    name, title, threshold = "wrong_class", "wrong class", 0.6

    @cached_property
    def scores(self) -> np.ndarray:
        objects = self.evidence.objects
        judged = objects["judged"]
        doubts = (1 - np.nan_to_num(objects["margin_mean"], nan=1.0)) / 2
        return np.asarray(doubts * judged / (judged + 1))

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
