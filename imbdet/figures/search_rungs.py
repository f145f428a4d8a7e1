"""AP of the arms of a search at each rung."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from imbdet.drawing.style import COLOR_MAP, new_figure, plain
from imbdet.figures.study import Study
from imbdet.wording import counted

# If there are more arms, only the best are drawn.
_MAX_ARMS = 30
_INCHES_PER_ARM = 0.22


@dataclass(frozen=True)
class Reached:
    """AP in percent of a training at a rung."""

    arm: str
    seed: int
    iteration: int
    ap: float


@dataclass(frozen=True)
class SearchRungs(Study):
    """AP of all trainings at all rungs.

    Attributes:
        reached: AP of each training at each rung, those of the best arm first.
    """

    name = "search_rungs"
    title = "AP at the rungs of the search"
    caption = (
        "A large dot is the mean over the seeds, which are the small ones. Compare dots of one "
        "colour: arms are compared at the same iteration, with the same seeds."
    )

    reached: Sequence[Reached]

    def table(self) -> pa.Table:
        """See :class:`Study`; a row for each training and rung."""
        return pa.Table.from_pylist([vars(one) for one in self.reached])

    def sentence(self) -> str:
        """See :class:`Study`."""
        rungs = sorted({one.iteration for one in self.reached})
        num_arms = [len({o.arm for o in self.reached if o.iteration == rung}) for rung in rungs]
        parts = [
            f"{counted(number, 'arm')} at iteration {rung:,}"
            for number, rung in zip(num_arms, rungs, strict=True)
        ]
        return f"{', '.join(parts)}."

    def draw(self) -> Figure:
        """A row for each arm."""
        arms = list(dict.fromkeys(one.arm for one in self.reached))[:_MAX_ARMS]
        rungs = sorted({one.iteration for one in self.reached})
        colors = COLOR_MAP(np.linspace(0.1, 0.85, len(rungs)))
        figure = new_figure(1.2 + _INCHES_PER_ARM * len(arms))
        axes = figure.subplots()
        for rung, color in zip(rungs, colors, strict=True):
            found = {arm: self._aps(arm, rung) for arm in arms}
            places = [place for place, arm in enumerate(arms) for _ in found[arm]]
            seeds = [ap for arm in arms for ap in found[arm]]
            style = {"color": color, "clip_on": False}
            axes.scatter(seeds, places, s=6, alpha=0.6, linewidth=0, **style)
            means = [(np.mean(aps), place) for place, aps in enumerate(found.values()) if aps]
            axes.scatter(*zip(*means, strict=True), s=36, label=f"{rung:,}", zorder=3, **style)
        axes.set_yticks(range(len(arms)), map(plain, arms))
        axes.set(xlabel="AP in percent", xlim=(0, None), ylim=(len(arms) - 0.4, -0.6))
        axes.grid(axis="x")
        figure.legend(title="iteration", loc="outside right upper")
        return figure

    def _aps(self, arm: str, rung: int) -> list[float]:
        return [one.ap for one in self.reached if (one.arm, one.iteration) == (arm, rung)]
