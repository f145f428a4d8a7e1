#!/usr/bin/env python
"""How well faults of annotations are found that were planted in shapes.

    .tools/bin/uv pip install --python .venv/bin/python --target output/cleanlab cleanlab
    PYTHONPATH=output/cleanlab python benchmarks/suspects.py retinanet faster_rcnn --seeds 1 2 3

Each kind of fault is looked for by three sorts of evidence: the final detections, as cleanlab's
scores of labels in object detection judge them (Tkachenko et al., "ObjectLab", 2023, the package
`cleanlab`, which nothing else here needs); an epoch after the training in which nothing is learnt,
which stands for the loss of the last epoch; and the ledger of the whole training, by single columns
and by the scores of `imbdet clean`. What they say is in `benchmarks/suspicions.py`, the faults and
the schedule in `benchmarks/faulty_shapes.yaml`.

The numbers are the AUROC, and the precision of as many suspects as there are faults: 0.5 and the
share of the faults by chance. Of wrong classes the AUROC among annotations of one class stands
beside: wrong labels are a larger part of rare classes, so that what knows the frequency of a class
alone is above 0.5 among all. Suspects are annotations, and images where objects may be missing.

`--ap` also trains without faults, and on what `imbdet clean` makes of the faulty annotations by
each policy that is named, and `--methods` by other methods on the faulty ones; AP on the validation
split tells what faults cost, and what cleaning or a method brings back.

Runs that are finished are not repeated, a run that was stopped goes on; with other `--opts` they
need another `--output`.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from planted import Planted
from results_table import check_seeds, format_suspects, write_results
from runs import ROOT, Run, Setting, find_pieces
from scipy.stats import mannwhitneyu, rankdata
from shapes_trial import ShapesTrial
from suspicions import SUSPICIONS, Ledger, Traces

from imbdet.cli import main as imbdet
from imbdet.config import load_config
from imbdet.programs.program import run_program
from imbdet.suspects.changes import POLICIES

# With the objects' boxes among their proposals, RoI heads say little of where objects are.
DETECTORS = {
    "retinanet": [],
    "faster_rcnn": ["MODEL.ROI_HEADS.PROPOSAL_APPEND_GT", "False"],
}
# Its "test split" are the images that it was trained on.
FAULTY = ROOT / "benchmarks" / "faulty_shapes.yaml"
SETTING = Setting("quick_start", "shapes_val", "shapes_train", FAULTY)
FAULTS = ("LABEL_NOISE", "BOX_NOISE", "MISSING_FRACTION", "DUPLICATE_FRACTION")


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("detectors", nargs="+", choices=list(DETECTORS), metavar="DETECTOR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="SEED")
    parser.add_argument(
        "--ap",
        nargs="*",
        choices=list(POLICIES),
        metavar="POLICY",
        help=f"also train without faults, and after cleaning by these: {', '.join(POLICIES)}",
    )
    parser.add_argument(
        "--methods", nargs="+", default=[], metavar="METHOD", help="with --ap; as of methods.py"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "suspects")
    parser.add_argument(
        "--opts", nargs="+", default=[], metavar="KEY VALUE", help="overrides of the config"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args(argv)
    check_seeds(parser, args.seeds)
    if args.methods and args.ap is None:
        parser.error("--methods: they are compared by AP, so name --ap as well")
    return args


class Trial(ShapesTrial):
    """The trainings of one detector with one seed, on faulty annotations and on others."""

    def measure_suspicions(self) -> dict:
        """Ratings of each suspicion by :func:`rate`, by kind of fault."""
        faulty, epoch = self._faulty, self._last_epoch
        _require(faulty.train() and faulty.test() and epoch.train())
        planted = Planted.read(Path(self.shapes().json_file))
        traces = Traces(
            planted,
            Ledger.read(faulty.folder, planted),
            Ledger.read(epoch.folder, planted),
            faulty.folder / "test/inference" / SETTING.test / "coco_instances_results.json",
        )
        kinds = {}
        for kind, suspicions in SUSPICIONS.items():
            truth = planted.truth(kind)
            classes = planted.classes if kind == "wrong class" else None
            kinds[kind] = {
                "faults": int(truth.sum()),
                "of": len(truth),
                "suspicions": {
                    name: rate(suspicion(traces), truth, classes)
                    for name, suspicion in suspicions.items()
                },
            }
        return kinds

    def measure_ap(self, policies: Sequence[str], methods: Sequence[str]) -> dict[str, float]:
        """AP on the validation split by what the training does about the faults.

        Args:
            policies: policies of ``imbdet clean``, whose suspects are those of the faulty training.
            methods: methods of trainings on the faulty annotations.
        """
        no_faults = [text for name in FAULTS for text in (f"DATASETS.SHAPES.{name}", "0.0")]
        trainings = {"true": self.make("true", no_faults), "faulty": self._faulty}
        trainings |= {f"cleaned: {policy}": self._cleaned(policy) for policy in policies}
        trainings |= {
            method: self.make(method, [], pieces=find_pieces(method)) for method in methods
        }
        for run in trainings.values():
            _require(run.train())
        return {name: run.read()["val"]["AP"] for name, run in trainings.items()}

    def _cleaned(self, policy: str) -> Run:
        """A training on the faulty annotations as ``imbdet clean`` changes them."""
        folder = self.folder / f"clean_{policy}"
        command = ["clean", str(self._faulty.folder), "--policy", policy, "--output", str(folder)]
        _require(imbdet(command) == 0)
        return self.make_on(f"cleaned_{policy}", folder / "cleaned.json")

    @property
    def _faulty(self) -> Run:
        return self.make("faulty", ["LEDGER.ENABLED", "True"])

    @property
    def _last_epoch(self) -> Run:
        """A training that learns nothing, from the weights of the faulty one."""
        cfg = load_config(*map(str, self._faulty.files), opts=self.seeded_opts)
        num_iterations = -(-cfg.DATASETS.SHAPES.NUM_TRAIN // cfg.SOLVER.IMS_PER_BATCH)
        overrides = ["LEDGER.ENABLED", "True"]
        overrides += ["MODEL.WEIGHTS", str(self._faulty.folder / "model_final.pth")]
        overrides += ["SOLVER.BASE_LR", "0.0", "SOLVER.WARMUP_ITERS", "0", "SOLVER.STEPS", "()"]
        return self.make("last_epoch", [*overrides, "SOLVER.MAX_ITER", str(num_iterations)])


def _require(is_done: bool) -> None:
    if not is_done:
        sys.exit(1)


def rate(
    suspicion: np.ndarray, truth: np.ndarray, classes: np.ndarray | None = None
) -> dict[str, float]:
    """How well values distinguish what is faulty from the rest.

    Args:
        suspicion: (N,) values; NaN, which says nothing, counts as the lowest.
        truth: (N,) bool, whether each is faulty; F of them are, neither none nor all.
        classes: (N,) the annotated classes, of which one has both at least; or None.

    Returns:
        "AUROC", of all pairs of a faulty one and another; with classes "within a class", of the
        pairs of one class; and "precision" of the F highest values: where some are equal, its mean
        over their orders.
    """
    ranks = rankdata(np.nan_to_num(suspicion, nan=-np.inf), method="min")
    rates = {"AUROC": _auroc(ranks, truth, np.zeros(len(truth)))}
    if classes is not None:
        rates["within a class"] = _auroc(ranks, truth, classes)
    last = np.sort(ranks)[-truth.sum()]
    is_above, is_level = ranks > last, ranks == last
    found = truth[is_above].sum() + (truth.sum() - is_above.sum()) * truth[is_level].mean()
    return {**rates, "precision": float(found / truth.sum())}


def _auroc(ranks: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> float:
    """The share of the pairs of a group whose faulty one is higher, equal ones counting half."""
    higher, number = 0.0, 0
    for group in np.unique(groups):
        faulty, others = (ranks[(groups == group) & is_it] for is_it in (truth, ~truth))
        if len(faulty) and len(others):
            higher += mannwhitneyu(faulty, others).statistic
            number += len(faulty) * len(others)
    return float(higher / number)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, look for the faults, then print the table."""
    args = parse_args(argv)
    command = " ".join(["python", "benchmarks/suspects.py", *sys.argv[1:]])
    results: dict = {"command": command, "detectors": {name: [] for name in args.detectors}}
    for seed in args.seeds:
        for detector, runs in results["detectors"].items():
            opts = [*DETECTORS[detector], *args.opts]
            trial = Trial(SETTING, detector, seed, opts, args.output)
            run = {"seed": seed, "kinds": trial.measure_suspicions()}
            if args.ap is not None:
                run["AP"] = trial.measure_ap(args.ap, args.methods)
            runs.append(run)
    print(format_suspects(results))
    if args.json:
        write_results(args.json, results)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run_program(main, output="the folder of --output"))
