"""Objects that may be of another class."""

from functools import cached_property

import numpy as np

from imbdet.suspects.doubt import rival_parts
from imbdet.suspects.suspect import ObjectKind, Suspect


class WrongClass(ObjectKind):
    """The detector says another class, all through the training.

    The score is the rival's part of :func:`imbdet.suspects.doubt.rival_parts`, and 0 if no other
    class was ever said. By the threshold another class was preferred on the whole. The mean of the
    class is not subtracted: in rare classes wrong labels have a larger share in it, and would be
    ranked too low.
    """

    name, title, threshold = "wrong_class", "wrong class", 0.5

    @cached_property
    def scores(self) -> np.ndarray:
        objects = self.evidence.objects
        parts = rival_parts(objects["judged"], objects["rival_mean"])
        return np.where(objects["wrong"] > 0, parts, 0.0)

    def suspect(self, row: int) -> Suspect:
        of_row = {name: values[row] for name, values in self.evidence.objects.items()}
        names = self.evidence.classes
        own, wrong, judged = names[int(of_row["class"])], int(of_row["wrong"]), of_row["judged"]
        reason = f"Annotated as '{own}'; another class was said at {wrong} of {judged} sights"
        proposed = None
        if wrong and not np.isnan(of_row["wrong_class"]):
            said, least = int(of_row["wrong_class"]), int(of_row["wrong_class_least"])
            # A detector may have more classes than its data.
            proposed = said if said < len(names) else None
            name = f"'{names[said]}'" if said < len(names) else "one that the data set lacks"
            reason += f", {name} at {least} of them or more"
        reason += (
            f". Of the scores of '{own}' and the strongest other class, the other's part was "
            f"{of_row['rival_mean']:.2f} in the mean (few sights count less)."
        )
        return self._suspect(row, reason, proposed_class=proposed)
