"""Repeats an iteration that went wrong."""

import math
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from tabulate import tabulate
from torch import Tensor, nn

from imbdet.config import load_config
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.incident import Incident
from imbdet.engine.process_state import set_random_states
from imbdet.errors import UserError
from imbdet.forms import require_form
from imbdet.modeling import build_model
from imbdet.plain_yaml import load_yaml

# Rows of samples that are shown.
MAX_ROWS = 20


def replay(path: Path) -> dict[str, float]:
    """Repeat the forward pass of an incident, and print what comes out beside what was saved.

    Returns:
        The losses by name, as far as the model gets.

    Raises:
        UserError: the file or the weights beside it cannot be read.
    """
    incident = Incident.load(path)
    require_form(incident.inputs, [{"image": Tensor}], f"inputs in '{path}'")
    cfg = _read_config(path, incident)
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).train()
    weights = Incident.weights_path(path.parent, incident.iteration)
    SafeCheckpointer(model, strict=True, must_be_finite=False).load(str(weights))
    print(f"Iteration {incident.iteration}, rank {incident.rank} of {incident.num_processes}.")
    for index, image in enumerate(incident.inputs):
        print(f"Image {index}: {image.get('file_name')}")
    print(f"Saved: {incident.reason}")
    losses = _repeat(incident, model)
    rows = [[name, value, losses.get(name)] for name, value in incident.losses.items()]
    print(tabulate(rows, headers=["loss", "saved", "repeated"], floatfmt=".9g"))
    _print_samples(incident)
    print(_judge(incident, losses))
    return losses


def _read_config(path: Path, incident: Incident) -> CfgNode:
    cfg = load_config()
    try:
        cfg.merge_from_other_cfg(CfgNode(load_yaml(incident.config)))
    except Exception as error:  # yacs raises its own
        raise UserError(
            f"'{path}' has a config that does not fit this version of imbdet: {error}."
        ) from error
    return cfg


def _repeat(incident: Incident, model: nn.Module) -> dict[str, float]:
    set_random_states(incident.random_states)
    for name, buffer in model.named_buffers():
        if name in incident.buffers:
            buffer.copy_(incident.buffers[name])
    device = next(model.parameters()).device.type
    try:
        with (
            EventStorage(incident.iteration),
            torch.no_grad(),
            torch.autocast(device, enabled=incident.is_mixed_precision),
        ):
            losses = {name: loss.item() for name, loss in model(incident.inputs).items()}
    except FloatingPointError as error:
        print(f"Repeated: {error}")
        return getattr(error, "losses", {})
    return losses


def _print_samples(incident: Incident) -> None:
    samples = incident.samples
    if not samples:
        return
    columns = {name: values[:MAX_ROWS].tolist() for name, values in samples.items()}
    columns["box"] = [" ".join(f"{x:.1f}" for x in box) for box in columns["box"]]
    print(f"\nSamples that are not finite, {len(columns['box'])} of {len(samples['box'])}:")
    print(tabulate(columns, headers="keys"))


def _judge(incident: Incident, losses: dict[str, float]) -> str:
    is_same = losses.keys() == incident.losses.keys() and all(
        value == losses[name] or (math.isnan(value) and math.isnan(losses[name]))
        for name, value in incident.losses.items()
    )
    if is_same:
        return "\nThe losses are the same to the last bit."
    hint = "They differ on another kind of device, or with other versions of the code"
    if incident.num_processes > 1:
        hint += ", and where a loss ranks the samples of all processes, of which the file has one"
    return f"\nThe losses are not the same. {hint}."
