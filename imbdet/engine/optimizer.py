"""The optimizer by key: detectron2's SGD, or AdamW, which learns faster from scratch."""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_sgd
from detectron2.solver import get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from imbdet.errors import UserError, suggest

# Each with an option that it alone has.
OPTIMIZERS = {"SGD": "momentum", "AdamW": "betas"}


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Optimizer ``SOLVER.OPTIMIZER`` with detectron2's keys for rates, decay and clipping.

    Raises:
        UserError: unknown optimizer.
    """
    name = cfg.SOLVER.OPTIMIZER
    if name not in OPTIMIZERS:
        raise UserError(f"SOLVER.OPTIMIZER is {name!r}. {suggest(name, OPTIMIZERS)}")
    if name == "SGD":
        return build_sgd(cfg, model)
    params = get_default_optimizer_params(
        model,
        base_lr=cfg.SOLVER.BASE_LR,
        weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
        bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
        weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
    )
    return maybe_add_gradient_clipping(cfg, torch.optim.AdamW)(
        params, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY
    )


def adopt_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """The state of a checkpoint with the options of an optimizer, such as rates and weight decay.

    So that a training goes on by its config, as its schedule does.

    Raises:
        UserError: the state is of another optimizer, or of other parameters.
    """
    advice = "Go on with the config of the run, or start from the file by MODEL.WEIGHTS."
    saved, own = state["param_groups"], optimizer.param_groups
    for name, option in OPTIMIZERS.items():
        if option in saved[0] and option not in own[0]:
            raise UserError(f"its optimizer is {name}, that of the config another. {advice}")
    if [len(group["params"]) for group in saved] != [len(group["params"]) for group in own]:
        raise UserError(
            "the config trains other parameters (MODEL.BACKBONE.FREEZE_AT), or groups them "
            f"otherwise (SOLVER.WEIGHT_DECAY_BIAS, ...). {advice}"
        )
    groups = [
        {**group, **mine, "params": group["params"]} for group, mine in zip(saved, own, strict=True)
    ]
    return {**state, "param_groups": groups}
