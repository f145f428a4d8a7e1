"""Weights of another kind of detector."""

from types import SimpleNamespace

import pytest
from torch import nn

from imbdet.engine.fit import check_fit
from imbdet.errors import UserError


@pytest.mark.parametrize(
    ("in_file", "in_model", "message"),
    [
        ("head", "roi_heads", "it is of a one-stage detector, and the model is a two-stage"),
        ("roi_heads", "head", "it is of a two-stage detector, and the model is a one-stage"),
        ("head", "head", "it does not fit the model: 'head.weight' is missing"),
        ("neck", "head", "it does not fit the model: 'head.weight' is missing"),
    ],
)
def test_kinds_are_named_rather_than_tensors(in_file, in_model, message):
    model = nn.ModuleDict({in_model: nn.Linear(2, 2)})
    incompatible = SimpleNamespace(missing_keys=[f"{in_model}.weight"], incorrect_shapes=[])
    with pytest.raises(UserError, match=message):
        check_fit(model, incompatible, {f"{in_file}.other": (2, 2)}, strict=True)
