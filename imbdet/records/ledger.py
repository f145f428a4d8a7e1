"""A ledger of objects and images: sums, extremes and events of a training, in fixed memory."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from imbdet.records.places import EMPTY, add_places
from imbdet.records.sights import Columns, Sights

_SUMS = ("score", "iou", "gradient", "cls_loss", "cls_loss_square", "box_loss", "box_loss_square")
# Sums of the shifts of box sides and of their mean square, times the score of the positive.
_SHIFTS = ("shift", "shift_square")
_BESTS = ("best_score", "best_iou")

# Initial values of a row. Numbers that are not known yet are -1.
_OBJECT: dict[str, Tensor] = {
    **{name: torch.tensor(0, dtype=torch.int32) for name in ("seen", "positives")},
    **{name: torch.tensor(0.0, dtype=torch.float64) for name in _SUMS},
    **{name: torch.tensor(-1.0) for name in _BESTS},
    # Numbers of sights with positives, at which it was learnt, and at which it no longer was.
    **{name: torch.tensor(0, dtype=torch.int32) for name in ("judged", "learnt", "forgotten")},
    "first_learnt": torch.tensor(-1, dtype=torch.int32),
    "is_learnt": torch.tensor(False),
    "wrong": torch.tensor(0, dtype=torch.int32),
    "wrong_class": torch.tensor(-1, dtype=torch.int32),
    "wrong_lead": torch.tensor(0, dtype=torch.int32),
    "rival": torch.tensor(0.0, dtype=torch.float64),
    "shift": torch.zeros(4, dtype=torch.float64),
    "shift_square": torch.tensor(0.0, dtype=torch.float64),
}
_IMAGE: dict[str, Tensor] = {
    "seen": torch.tensor(0, dtype=torch.int32),
    "loss": torch.tensor(0.0, dtype=torch.float64),
    "best_background": torch.tensor(-1.0),
    "background": torch.tensor(0.0, dtype=torch.float64),
    # Number of sights with negatives that overlap no object.
    "background_sights": torch.tensor(0, dtype=torch.int32),
    **EMPTY,
}


class Ledger:
    """What became of each object and each image, sight by sight.

    The sights of a row count in the order in which they come, whatever the parts in which they are
    added: the result is the same to the last bit.

    Attributes:
        objects: columns (A,) or (A, 4) by name, about 160 bytes a row; see
            :mod:`imbdet.records.sights` for what is summed up.
        images: columns (I, ...) by name, about 160 bytes a row; see :mod:`imbdet.records.places`
            for the places.
    """

    def __init__(self, num_objects: int, num_images: int):
        """Start with rows of which nothing is known.

        Args:
            num_objects: number of objects, A.
            num_images: number of images, I.
        """
        self.objects = _rows(_OBJECT, num_objects)
        self.images = _rows(_IMAGE, num_images)

    def add(self, sights: Sights) -> None:
        """Add sights, in their order."""
        for now in _in_rounds(sights.objects):
            self._add_objects(now)
        for now in _in_rounds(sights.images):
            self._add_images(now)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The tables themselves."""
        return {"objects": self.objects, "images": self.images}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Go on from what :meth:`state_dict` returned.

        Raises:
            KeyError: the state lacks a column.
            ValueError: the state is of other rows.
        """
        for name, table in self.state_dict().items():
            for column, values in table.items():
                loaded = state[name][column]
                if (loaded.dtype, loaded.shape) != (values.dtype, values.shape):
                    raise ValueError(f"its column '{column}' of {name} is of another ledger")
                values.copy_(loaded)

    def _add_objects(self, now: Columns) -> None:
        own, rows = self.objects, now["row"]
        own["seen"][rows] += 1
        own["positives"][rows] += now["positives"].int()
        for name in (*_SUMS, *_SHIFTS):
            own[name][rows] += now[name]
        for name in _BESTS:
            own[name][rows] = own[name][rows].maximum(now[name].float())
        is_judged = now["positives"] > 0
        self._judge({name: values[is_judged] for name, values in now.items()})

    def _judge(self, now: Columns) -> None:
        """Add what the best positives of some objects say."""
        own, rows, is_learnt = self.objects, now["row"], now["is_learnt"]
        own["judged"][rows] += 1
        own["learnt"][rows] += is_learnt.int()
        own["forgotten"][rows] += (own["is_learnt"][rows] & ~is_learnt).int()
        own["is_learnt"][rows] = is_learnt
        is_first = is_learnt & (own["first_learnt"][rows] < 0)
        own["first_learnt"][rows[is_first]] = now["iteration"][is_first].int()
        own["wrong"][rows] += now["is_wrong"].int()
        self._vote(rows[now["is_wrong"]], now["said"][now["is_wrong"]].int())
        own["rival"][rows] += now["rival"]

    def _vote(self, rows: Tensor, said: Tensor) -> None:
        """Do one step of the majority vote.

        Boyer and Moore, "MJRTY", 1981: a class leads, one more vote for it adds to its lead, one
        for another takes from it, and at 0 the next vote leads. A class with more than half of the
        votes leads at the end, whatever their order.
        """
        own = self.objects
        lead, leader = own["wrong_lead"][rows], own["wrong_class"][rows]
        leader = said.where(lead == 0, leader)
        own["wrong_class"][rows] = leader
        own["wrong_lead"][rows] = lead + torch.where(leader == said, 1, -1).int()

    def _add_images(self, now: Columns) -> None:
        own, rows, background = self.images, now["row"], now["background"]
        own["seen"][rows] += 1
        own["loss"][rows] += now["loss"]
        own["best_background"][rows] = own["best_background"][rows].maximum(background.float())
        own["background"][rows] += background.clamp(min=0)
        own["background_sights"][rows] += (background >= 0).int()
        add_places(own, now, rows)


def _rows(begin: Columns, number: int) -> dict[str, Tensor]:
    return {name: value.expand(number, *value.shape).clone() for name, value in begin.items()}


def _in_rounds(columns: Columns) -> Iterator[Columns]:
    """The first sight of each row, then the second, and so on: no round has a row twice."""
    rows, order = columns["row"].sort(stable=True)
    number = torch.arange(len(rows)) - torch.searchsorted(rows, rows)
    for k in range(int(number.max()) + 1 if len(rows) else 0):
        picked = order[number == k]
        yield {name: values[picked] for name, values in columns.items()}
