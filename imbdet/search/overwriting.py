"""Refuses axes whose choices overwrite each other: then a name promises what is not trained."""

import itertools

from imbdet.errors import UserError
from imbdet.keys import changed_keys
from imbdet.search.searched_configs import load_arm
from imbdet.search.space import RATE_KEY, Space


def refuse_overwriting(space: Space) -> None:
    """Look at what the choices of each axis change in the baseline.

    Raises:
        UserError: choices of two axes give a key different values, or a key or value does not
            exist.
    """
    baseline, *others = space.arms.values()
    plain = load_arm(baseline)
    changes: dict[tuple[str, str], dict[str, object]] = {}
    for arm in others:
        departs = [pair for pair in arm.choices.items() if pair not in baseline.choices.items()]
        if len(departs) == 1:
            found = {key: own for key, (_, own) in changed_keys(load_arm(arm), plain).items()}
            if arm.learning_rate is not None:
                found.pop(RATE_KEY, None)
            changes[departs[0]] = found
    axes = list(baseline.choices)
    in_order = sorted(changes.items(), key=lambda item: axes.index(item[0][0]))
    for ((axis, choice), own), ((other, theirs), values) in itertools.combinations(in_order, 2):
        for key in own if axis != other else ():
            if key in values and own[key] != values[key]:
                raise UserError(
                    f"'{space.path}': '{choice}' of the axis '{axis}' makes {key} {own[key]!r}, "
                    f"and '{theirs}' of '{other}' makes it {values[key]!r}: one would overwrite "
                    "the other. Put the combinations that make sense on one axis."
                )
