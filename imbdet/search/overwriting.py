"""Refuses axes whose choices overwrite each other, as names of arms would then be wrong."""

import itertools

from imbdet.config_files.keys import changed_keys
from imbdet.errors import UserError
from imbdet.search.searched_configs import load_arm
from imbdet.search.space import RATE_KEY, Space


def refuse_overwriting(space: Space) -> None:
    """Compare the keys that the choices of the axes change in the baseline.

    Raises:
        UserError: choices of two axes give a key different values, or a key or value does not
            exist.
    """
    baseline, *others = space.arms.values()
    if len(baseline.choices) < 2:
        return
    plain = load_arm(baseline)
    # By axis and choice, the keys with other values than in the baseline.
    changes: dict[str, dict[str, dict[str, object]]] = {axis: {} for axis in baseline.choices}
    for arm in others:
        departs = [pair for pair in arm.choices.items() if pair not in baseline.choices.items()]
        if len(departs) != 1:
            continue
        ((axis, choice),) = departs
        if choice not in changes[axis]:
            found = changed_keys(load_arm(arm), plain)
            if arm.learning_rate is not None:
                found.pop(RATE_KEY, None)
            changes[axis][choice] = {key: own for key, (_, own) in found.items()}
    for (axis, choices), (other, theirs) in itertools.combinations(changes.items(), 2):
        for (name, own), (second, values) in itertools.product(choices.items(), theirs.items()):
            key = next((key for key in own if values.get(key, own[key]) != own[key]), None)
            if key is not None:
                raise UserError(
                    f"'{space.path}': '{name}' of the axis '{axis}' makes {key} {own[key]!r}, and "
                    f"'{second}' of '{other}' makes it {values[key]!r}: one would overwrite the "
                    "other. Put the combinations that make sense on one axis."
                )
