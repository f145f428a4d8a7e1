"""Command lines of words that belong elsewhere, or nowhere."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from failing import CONFIG

from fuzzing.answers import Try

# All but `demo`, which trains for minutes if its line is valid.
SUBCOMMANDS = ("methods", "config", "predict", "analyze", "compare", "report", "replay")
QUESTIONS = ("explain", "diff", "check")
OPTIONS = (
    *("--config-file", "--weights", "--output", "--images", "--dataset", "--num-images"),
    *("--picture", "--seed", "--base", "--resume", "--eval-only"),
    *("--num-gpus", "--num-processes", "--num-machines", "--machine-rank", "--timeout"),
    *("--dist-url", "--version", "--help", "--nothing", "--", "-", "-x", "---"),
)
KEYS = (
    *("SOLVER.MAX_ITER", "MODEL.WEIGHTS", "MODEL.CLS_LOSS.NAME", "DATASETS.TRAIN", "SEED"),
    *("MODEL", "MODEL.", ".MODEL", ".", "", "MODEL..WEIGHTS", "model.weights", "SEED=1"),
    *("_BASE_", "__class__", "MODEL.__dict__", "VERSION", "OUTPUT_DIR", "DATASETS.COCO"),
)
VALUES = (
    *("", " ", "0", "-1", "1e400", "nan", "inf", "9" * 5000, "0x" + "f" * 5000, "None", "True"),
    *("[", "(" * 500, "[[1], None]", "{}", "{'a': 1}", "'", '"', "(1,", "1 2", "__import__('os')"),
    *("a" * 5000, "é", "\udcff", "\x1b[31m", "a\nb", "%s", "{}", "tcp://x:1"),
    *("/dev/zero", "/dev/null", "pipe", "missing", "text.txt", ".", "..", "http://[", "::"),
)


WORDS = (*SUBCOMMANDS, *QUESTIONS, *OPTIONS, *KEYS, *VALUES)


def tries(number: int, folder: Path, generator: np.random.Generator) -> Iterator[Try]:
    """Lines of up to six words at random after a beginning that a valid line may have."""
    (folder / "text.txt").write_text("These are words.\n")
    os.mkfifo(folder / "pipe")
    yield Try("undamaged", ["imbdet", "config", "explain", "SEED"])

    def pick(options: Sequence[str], count: int) -> list[str]:
        return [options[i] for i in generator.integers(len(options), size=count)]

    beginnings = (
        lambda: ["imbdet"],
        lambda: ["imbdet", *pick(SUBCOMMANDS, 1)],
        lambda: ["imbdet", "config", *pick(QUESTIONS, 1)],
        lambda: ["imbdet", "config", "check", "--config-file", str(CONFIG), *pick(KEYS, 1)],
        lambda: ["train_net.py"],
        lambda: ["train_net.py", "--config-file", str(CONFIG), *pick(KEYS, 1)],
    )
    for i in range(number):
        line = [*beginnings[i % len(beginnings)](), *pick(WORDS, generator.integers(7))]
        yield Try(" ".join(line), line)
