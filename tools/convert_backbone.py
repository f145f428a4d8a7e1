#!/usr/bin/env python
"""Write the weights of a timm model as MODEL.WEIGHTS reads them, for the backbones of timm.

MODEL is what MODEL.TIMM.NAME names, with or without a tag of timm's weights. They are fetched by
timm, or taken from a FILE of yours: in timm's own layout, or in any that has the same tensors in
the same order, such as torchvision's MobileNetV2 and ResNets, and EfficientNet-Lite's.

    python tools/convert_backbone.py mobilenetv2_100.ra_in1k mobilenetv2.pth
    python tools/convert_backbone.py resnet18 resnet18.pth --source resnet18-f37072fd.pth
"""

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from imbdet.engine.checkpoint_file import check_weights, read_checkpoint, write_sealed
from imbdet.errors import UserError
from imbdet.modeling import TimmBackbone
from imbdet.programs.program import run_program

# Prefix of the names of the backbone's network in a detector.
_PREFIX = "backbone.bottom_up."
# Name of the counter of batch normalization, which no network needs.
_COUNTER = "num_batches_tracked"


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, or report a user's mistake in a sentence, and return the exit status."""

    def run() -> None:
        args = parse_args(argv)
        convert(args.model, args.output, args.source)

    return run_program(run, output="OUTPUT")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    parser.add_argument("--source", metavar="FILE", help="weights that are not fetched")
    return parser.parse_args(argv)


def convert(model: str, output: Path, source: str | None) -> None:
    """Write the weights.

    Args:
        model: name in timm.
        output: file to write.
        source: file with a state, or with one under "model" or "state_dict"; with None timm fetches
            its own.

    Raises:
        UserError: timm has no such model or cannot fetch it, the file is not of such a model, or
            the output cannot be written.
    """
    backbone = TimmBackbone(
        model.partition(".")[0], in_channels=3, freeze_at=0, freeze_norm=False
    ).state_dict()
    weights = _fetch(model) if source is None else _read(source)
    renamed = rename_in_order(weights, backbone, source or model)
    content = io.BytesIO()
    torch.save({"model": {f"{_PREFIX}{name}": value for name, value in renamed.items()}}, content)
    write_sealed(output, content.getvalue())


def rename_in_order(
    source: Mapping[str, Tensor], target: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    """Give the tensors of a network the names that they have in another layout.

    Both layouts have the tensors in the order in which the network applies them. The source may
    have more at its end: those of the classifier.

    Args:
        source: names and tensors.
        target: names, and tensors of the same shapes.
        where: name of the source, for the message.

    Raises:
        UserError: a tensor is missing, or another one is in its place.
    """
    tensors = iter(_without_counters(source).items())
    renamed = {}
    for name, expected in _without_counters(target).items():
        found, value = next(tensors, ("nothing", torch.empty(0)))
        if _kind(found) != _kind(name) or value.shape != expected.shape:
            raise UserError(
                f"'{where}' has other layers than the model: where '{name}' "
                f"{tuple(expected.shape)} should be, there is '{found}' {tuple(value.shape)}."
            )
        renamed[name] = value
    return renamed


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if _kind(name) != _COUNTER}


def _kind(name: str) -> str:
    """Kind of a tensor: "weight", "bias", "running_mean", ..."""
    return name.rpartition(".")[2]


def _fetch(model: str) -> dict[str, Tensor]:
    import timm  # TimmBackbone reports it if it is missing

    try:
        return timm.create_model(model, pretrained=True).state_dict()
    except Exception as error:  # any error of the network, the hub or timm
        raise UserError(
            f"timm cannot fetch weights of '{model}' ({error}): name a file by --source."
        ) from error


def _read(source: str) -> dict[str, Tensor]:
    try:
        content = read_checkpoint(source)
        for key in ("model", "state_dict"):
            content = content.get(key, content) if isinstance(content, dict) else content
        check_weights(content)
    except UserError as error:
        raise UserError(f"Cannot read '{source}': {error}") from error
    return content


if __name__ == "__main__":
    sys.exit(main())
