"""Repeats an iteration that went wrong."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from tabulate import tabulate
from torch import Tensor, nn

from imbdet.config import load_config
from imbdet.config_files.keys import get_key
from imbdet.engine.checkpoint import SafeCheckpointer
from imbdet.engine.incidents.incident import Incident
from imbdet.engine.process_state import set_random_states
from imbdet.engine.training_state import taking_up
from imbdet.errors import UserError
from imbdet.modeling import build_model
from imbdet.modeling.detector_kind import num_classes_key
from imbdet.untrusted.plain_yaml import load_yaml

# Highest number of samples that are shown.
MAX_ROWS = 20


def replay(path: Path) -> dict[str, float]:
    """Repeat the forward pass of an incident, and print its losses beside the saved ones.

    Returns:
        The losses by name, as far as they can be computed.

    Raises:
        UserError: the file or the weights beside it cannot be read.
    """
    incident = Incident.load(path)
    cfg = _read_config(path, incident)
    with _blaming(path):
        _check_inputs(incident, cfg)
        _check_samples(incident.samples)
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).train()
    weights = Incident.weights_path(path.parent, incident.iteration)
    SafeCheckpointer(model, strict=True, must_be_finite=False).load(str(weights))
    with _blaming(path):
        _restore(incident, model)
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
    except Exception as error:  # yacs raises errors of its own
        raise UserError(
            f"'{path}' has a config that does not fit this version of imbdet: {error}."
        ) from error
    return cfg


@contextlib.contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Name the file in errors of its content."""
    try:
        yield
    except UserError as error:
        raise UserError(f"'{path}' cannot be repeated: {error}") from error


def _check_inputs(incident: Incident, cfg: CfgNode) -> None:
    """Refuse inputs that the model of the config cannot have received."""
    num_channels, num_classes = len(cfg.MODEL.PIXEL_MEAN), get_key(cfg, num_classes_key(cfg))
    with taking_up("inputs"):
        for image in incident.inputs:
            pixels, instances = image["image"], image["instances"]
            boxes, classes = instances.gt_boxes.tensor, instances.gt_classes
            _require(pixels.dtype in (torch.uint8, torch.float32) and pixels.numel() > 0)
            _require(pixels.shape == (num_channels, *instances.image_size))
            _require(boxes.is_floating_point() and boxes.shape == (len(classes), 4))
            _require(classes.dtype == torch.int64 and classes.dim() == 1)
            _require(((classes >= 0) & (classes < num_classes)).all())


def _check_samples(samples: dict[str, Tensor]) -> None:
    with taking_up("samples"):
        for name, values in samples.items():
            num_samples = len(samples["box"])
            _require(values.shape == ((num_samples, 4) if name == "box" else (num_samples,)))


def _require(is_right: bool | Tensor) -> None:
    if not is_right:
        raise ValueError


def _restore(incident: Incident, model: nn.Module) -> None:
    """Restore the states of generators and buffers."""
    with taking_up("buffers"):
        for name, buffer in model.named_buffers():
            if name in incident.buffers:
                _require(buffer.shape == incident.buffers[name].shape)
                buffer.copy_(incident.buffers[name])
    with taking_up("random numbers"):
        set_random_states(incident.random_states)


def _repeat(incident: Incident, model: nn.Module) -> dict[str, float]:
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
