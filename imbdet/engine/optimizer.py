"""The optimizer by key: detectron2's SGD, or AdamW, which learns faster from scratch."""

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as build_sgd
from detectron2.solver import get_default_optimizer_params
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import Tensor, nn

from imbdet.engine.checkpoint_file import check_weights
from imbdet.errors import UserError, suggest
from imbdet.untrusted.schema import require_form

# Each optimizer with an option that only it has, and its state of a parameter.
OPTIMIZERS = {
    "SGD": ("momentum", ("momentum_buffer",)),
    "AdamW": ("betas", ("step", "exp_avg", "exp_avg_sq")),
}


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Build ``SOLVER.OPTIMIZER`` with detectron2's keys for rates, decay and clipping.

    Raises:
        UserError: the optimizer does not exist.
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

    A resumed training then follows its config, as its schedule does.

    Raises:
        UserError: the state is of another optimizer, or of other parameters.
    """
    advice = "Go on with the config of the run, or start from the file by MODEL.WEIGHTS."
    saved, own = state["param_groups"], optimizer.param_groups
    for name, (option, _) in OPTIMIZERS.items():
        if any(option in group for group in saved) and option not in own[0]:
            raise UserError(f"its optimizer is {name}, that of the config another. {advice}")
    if [len(group["params"]) for group in saved] != [len(group["params"]) for group in own]:
        raise UserError(
            "the config trains other parameters (MODEL.BACKBONE.FREEZE_AT), or groups them "
            f"otherwise (SOLVER.WEIGHT_DECAY_BIAS, ...). {advice}"
        )
    _check_kept(optimizer, state)
    groups = [
        {**group, **mine, "params": group["params"]} for group, mine in zip(saved, own, strict=True)
    ]
    return {**state, "param_groups": groups}


def _check_kept(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Refuse a state with which the optimizer's first step would fail."""
    own = optimizer.param_groups
    if own[0].get("momentum") == 0:
        return  # it has no state
    names = next(names for option, names in OPTIMIZERS.values() if option in own[0])
    ids = [i for group in state["param_groups"] for i in group["params"]]
    parameters = dict(zip(ids, (p for group in own for p in group["params"]), strict=True))
    if not state["state"]:
        raise UserError("its optimizer has no state: start from it by MODEL.WEIGHTS.")
    for i, kept in state["state"].items():
        what = f"optimizer.state[{i}]"
        if i not in parameters:
            raise UserError(f"its {what} is of no parameter.")
        require_form(kept, dict.fromkeys(names, Tensor), what)
        for name in names:
            expected = () if name == "step" else tuple(parameters[i].shape)
            if tuple(kept[name].shape) != expected:
                raise UserError(
                    f"its {what}.{name} has shape {tuple(kept[name].shape)}, not {expected}."
                )
        check_weights({name: kept[name] for name in names})
