"""Configs with values of every wrong kind, damaged text, and the traps of YAML."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import yaml
from failing import CONFIG, KEYS

from fuzzing.answers import Try
from imbdet.config import load_config
from imbdet.config_files.keys import leaves

# Values as they are written in YAML.
VALUES = (
    *("null", "true", "-1", "0", "1", "1000000000000", "-1.5", "1.0e+400", ".nan", "-.inf", "''"),
    *("abc", "'1'", "[]", "[null]", "[1, null]", "[[]]", "[[1], [null]]", "['a', 1]", "[-1, -2]"),
    *("[.nan]", "{}", "{A: 1}", "[{A: 1}]", "[true, false]", "2026-01-01", "!!set {a}", "(1, 2)"),
    *("!!binary aGVsbG8=", "!!python/name:os.system", "0x" + "f" * 5000, "9" * 5000, "1e-5"),
)
LINES = (
    *("_BASE_: /dev/zero", "_BASE_: /etc/passwd", "_BASE_: .", "_BASE_: config.yaml"),
    *("_BASE_: http://localhost:1/a.yaml", "_BASE_: [null]", "_BASE_: {a: b}", "VERSION: [2]"),
    *("A: &a [*a]", "A: &a {<<: *a}", "A: " + "[" * 3000, "- A", "? [A]", "\\0", "A: b: c", "%A"),
    *("MODEL: null", "SOLVER: []", "MODEL.WEIGHTS: x", "\t", "'", '"', "&a", "*a", "---", "..."),
)


def tries(number: int, folder: Path, generator: np.random.Generator) -> Iterator[Try]:
    """Insert in turns a value of a wrong kind, a line that does not belong, or random bytes."""
    path = folder / "config.yaml"
    undamaged = _undamaged(folder)
    keys = [key for key, _ in leaves(load_config(str(CONFIG))) if key != "VERSION"]
    damages = (_wrong_value(keys), _wrong_value(keys), _foreign_line, _random_bytes)
    attempt = ["imbdet", "config", "check", "--config-file", str(path)]
    path.write_text(undamaged)
    yield Try("undamaged", attempt)
    for i in range(number):
        name, content = damages[i % len(damages)](undamaged, generator)
        path.write_bytes(content)
        yield Try(name, attempt)


Damage = Callable[[str, np.random.Generator], tuple[str, bytes]]


def _undamaged(folder: Path) -> str:
    cfg = load_config(str(CONFIG), opts=[str(x) for pair in KEYS.items() for x in pair])
    cfg.OUTPUT_DIR = str(folder / "output")
    return cfg.dump()


def _wrong_value(keys: list[str]) -> Damage:
    def damage(text: str, generator: np.random.Generator) -> tuple[str, bytes]:
        key = keys[generator.integers(len(keys))]
        value = VALUES[generator.integers(len(VALUES))]
        content = yaml.safe_load(text)
        *groups, name = key.split(".")
        functools.reduce(dict.__getitem__, groups, content)[name] = "HERE"
        written = yaml.safe_dump(content).replace("HERE", value)
        return f"{key}: {value[:50]}", written.encode()

    return damage


def _foreign_line(text: str, generator: np.random.Generator) -> tuple[str, bytes]:
    lines = text.splitlines()
    line = LINES[generator.integers(len(LINES))]
    lines.insert(int(generator.integers(len(lines))), line)
    return line[:50], "\n".join(lines).encode()


def _random_bytes(text: str, generator: np.random.Generator) -> tuple[str, bytes]:
    content = bytearray(text.encode())
    for _ in range(int(generator.integers(1, 20))):
        at = int(generator.integers(len(content)))
        content[at : at + int(generator.integers(3))] = generator.bytes(int(generator.integers(3)))
    return "bytes by chance", bytes(content)
