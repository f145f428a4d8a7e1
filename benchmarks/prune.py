#!/usr/bin/env python
"""Train on the parts of shapes that matter, by each score of ``imbdet prune``, and on random parts.

    python benchmarks/prune.py --seeds 5
    python benchmarks/prune.py --seeds 5 --keep 0.3 --by variance -- DATASETS.SHAPES.LABEL_NOISE 0.1

For each seed a training on everything keeps a ledger, by which its data are pruned; then others
train on what is kept, with as many iterations. The last options are keys of all trainings. The
table has the mean AP over the seeds, and the difference to the random part of the same size, with
an interval of 95 % over the pairs of a seed. A training that is done is not done again.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from results_table import Difference
from runs import CONFIGS, SETTINGS, Run
from tabulate import tabulate

from imbdet.cli import main as imbdet
from imbdet.config import load_config
from imbdet.data import register_datasets

from detectron2.data import MetadataCatalog  # isort: skip  (after imbdet)

BASELINE = "random"
SCORES = ("variance", "forgetting", "error")


class Bench:
    """Trainings of one detector in a folder."""

    def __init__(self, folder: Path, detector: str, keys: Sequence[str]) -> None:
        self._folder = folder
        self._files = [CONFIGS / "quick_start" / f"{detector}.yaml"]
        self._keys = list(keys)

    def whole(self, seed: int) -> float:
        """AP of a training on everything, with a ledger."""
        return self._train(f"all_{seed}", ["LEDGER.ENABLED", "True", "SEED", str(seed)])

    def part(self, seed: int, keep: float, by: str) -> float:
        """AP of a training on what is kept of it."""
        name = f"{by}_{keep:g}_{seed}"
        output = self._folder / f"{name}_data"
        options = ["--keep", str(keep), "--by", by, "--seed", str(seed), "--output", str(output)]
        if imbdet(["prune", str(self._folder / f"all_{seed}"), *options]) != 0:
            sys.exit("error: the data could not be pruned")
        json_file = output / "shapes_train.json"
        entry = f"[{{'NAME': 'kept', 'JSON': '{json_file}', 'IMAGES': '{self._images()}'}}]"
        data = ["DATASETS.COCO", entry, "DATASETS.TRAIN", "('kept',)", "SEED", str(seed)]
        return self._train(name, data)

    def _train(self, name: str, keys: Sequence[str]) -> float:
        run = Run(SETTINGS["shapes"], self._files, [*self._keys, *keys], self._folder / name)
        if not run.train():
            sys.exit("error: a training failed")
        return run.read()["val"]["AP"]

    def _images(self) -> str:
        cfg = load_config(*map(str, self._files), opts=self._keys)
        register_datasets(cfg)
        return MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).image_root


def rows(bench: Bench, args: argparse.Namespace) -> Iterator[list[str]]:
    """The table, as soon as each row is known."""
    seeds = range(args.seeds)
    whole = [bench.whole(seed) for seed in seeds]
    yield ["100 %", "", f"{statistics.mean(whole):.1f}", ""]
    for keep in args.keep:
        baseline = [bench.part(seed, keep, BASELINE) for seed in seeds]
        yield [f"{keep:.0%}", BASELINE, f"{statistics.mean(baseline):.1f}", ""]
        for by in args.by:
            found = [bench.part(seed, keep, by) for seed in seeds]
            gains = [own - other for own, other in zip(found, baseline, strict=True)]
            yield [f"{keep:.0%}", by, f"{statistics.mean(found):.1f}", str(Difference.of(gains))]


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, choices=range(2, 11), metavar="N")
    parser.add_argument("--keep", type=float, nargs="+", default=[0.7, 0.5], metavar="SHARE")
    parser.add_argument("--by", nargs="+", default=SCORES, choices=SCORES, metavar="SCORE")
    parser.add_argument("--detector", default="retinanet", help="of configs/quick_start")
    parser.add_argument("--output", type=Path, default=Path("output/prune"), metavar="DIR")
    parser.add_argument("keys", nargs="*", metavar="KEY VALUE", help="of all trainings")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    args = parse_args()
    bench = Bench(args.output.resolve(), args.detector, args.keys)
    table = list(rows(bench, args))
    print(tabulate(table, ["kept", "by", "AP", "over random (95 %)"], disable_numparse=True))


if __name__ == "__main__":
    main()
