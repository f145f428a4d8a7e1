import os
import textwrap
from functools import partial

import pytest

from imbdet.config import load_config
from tests import messages
from tests.messages import assert_says

RETINANET_SIZES = """
    MODEL:
      ANCHOR_GENERATOR:
        SIZES: !!python/object/apply:eval ["[[x, x * 2**(1.0/3), x * 2**(2.0/3) ] \
for x in [32, 64, 128, 256, 512 ]]"]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))

    return write


error_of = partial(messages.error_of, load_config)


def test_defaults_alone():
    assert load_config().MODEL.CLS_LOSS.NAME == ""


def test_file_then_overrides(write):
    write("a.yaml", "VERSION: 2\nSOLVER:\n  BASE_LR: 1e-3\n  STEPS: [1, 2]\nOUTPUT_DIR: here\n")
    cfg = load_config("a.yaml", opts=["SOLVER.STEPS", "(3,)", "OUTPUT_DIR", '"2020"'])
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.STEPS, cfg.OUTPUT_DIR) == (1e-3, (3,), "2020")


def test_of_several_files_the_later_one_wins(write):
    write("a.yaml", "VERSION: 2\nOUTPUT_DIR: a\nSEED: 1\n")
    write("b.yaml", "VERSION: 2\nOUTPUT_DIR: b\n")
    cfg = load_config("a.yaml", "b.yaml")
    assert (cfg.OUTPUT_DIR, cfg.SEED) == ("b", 1)
    assert load_config("b.yaml", "a.yaml").OUTPUT_DIR == "a"


def test_bases_are_relative_to_their_file_and_the_later_one_wins(write, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write("home/c.yaml", "MODEL:\n  MASK_ON: True\n")
    write("base/a.yaml", "_BASE_: b.yaml\nOUTPUT_DIR: a\n")
    write("base/b.yaml", "OUTPUT_DIR: b\nSEED: 1\nVIS_PERIOD: 1\n")
    write("top/d.yaml", "VERSION: 2\n_BASE_: [../base/a.yaml, ~/c.yaml]\nSEED: 2\n")
    cfg = load_config("top/d.yaml")
    assert (cfg.OUTPUT_DIR, cfg.SEED, cfg.VIS_PERIOD, cfg.MODEL.MASK_ON) == ("a", 2, 1, True)


def test_a_file_of_imbdet_is_named_by_its_address(write):
    write("a.yaml", "_BASE_: [imbdet://PISA.yaml, imbdet://quick_start/Shapes.yaml]\nSEED: 2\n")
    cfg = load_config("imbdet://Loss-AP.yaml", "a.yaml")
    assert (cfg.MODEL.CLS_LOSS.NAME, cfg.MODEL.CARL.ENABLED, cfg.SEED) == ("ap", True, 2)
    assert cfg.DATASETS.TRAIN == ("shapes_train",)
    # The base of Loss-GHM lies beside it.
    assert load_config("imbdet://Loss-GHM.yaml").MODEL.CLS_LOSS.NAME == "ghm_c"


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("imbdet://PISAA.yaml", "imbdet://PISA.yaml"),
        ("imbdet://quick_start/retinanet", "imbdet://quick_start/retinanet.yaml"),
        ("imbdet://configs/PISA.yaml", "imbdet://PISA.yaml"),
        ("imbdet://../pyproject.toml", "imbdet://"),
    ],
)
def test_a_wrong_address_is_said(write, address, meant):
    write("a.yaml", f"_BASE_: {address}\n")
    assert_says(error_of(address), f"'{address}' does not exist. Did you mean '{meant}")
    assert_says(error_of("a.yaml"), f"'{address}', the _BASE_ of a.yaml:1, does not exist", meant)


def test_a_base_may_hold_what_a_later_file_corrects(write):
    write("b.yaml", "SOLVER:\n  BASE_LR: wrong\n")
    write("a.yaml", "VERSION: 2\n_BASE_: b.yaml\nSOLVER:\n  BASE_LR: 0.1\n")
    assert load_config("a.yaml").SOLVER.BASE_LR == 0.1


def test_an_old_version_is_upgraded(write):
    write("a.yaml", "VERSION: 1\nMODEL:\n  WEIGHT: x.pkl\n")
    cfg = load_config("a.yaml", opts=["MODEL.CLS_LOSS.NAME", "focal"])
    assert (cfg.VERSION, cfg.MODEL.WEIGHTS) == (2, "x.pkl")


@pytest.mark.parametrize(
    ("config_file", "words"),
    [
        ("retinanet.yml", ["'retinanet.yml' does not exist", "Did you mean 'retinanet.yaml'?"]),
        ("nowhere/a.yaml", ["'nowhere/a.yaml' does not exist", "no folder 'nowhere'"]),
        ("folder", ["'folder' is a folder"]),
    ],
)
def test_missing_file(write, config_file, words):
    write("retinanet.yaml", "")
    write("folder/a.yaml", "")
    assert_says(error_of(config_file), "Config file", *words)


def test_unreadable_file(write, monkeypatch):
    write("a.yaml", "SEED: 1\n")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_text", refuse)
    assert_says(error_of("a.yaml"), "'a.yaml' cannot be read: Permission denied")


@pytest.mark.parametrize("content", [b"\x80\x02\xff\xfe", b"SEED: \x01\n"])
def test_not_a_text_file(tmp_path, content):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    assert_says(error_of(str(path)), str(path), "not a text file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["'a.yaml' is empty"]),
        ("# only a comment\n", ["'a.yaml' is empty"]),
        ("- 1\n", ["'a.yaml' holds no keys"]),
        ("words\n", ["'a.yaml' holds no keys"]),
        ("SEED: 1\nMODEL: x: y\n", ["YAML syntax error in a.yaml:2", "not allowed here"]),
        ("MODEL:\n\tSEED: 1\n", ["YAML syntax error in a.yaml:2", "'\\t'"]),
        ("SEED: 1\n? [a, b]\n: 1\n", ["YAML syntax error in a.yaml:2", "unhashable"]),
        ("SEED: 1\nVIS_PERIOD: !!python/name:os.system\n", ["a.yaml:2", "refused"]),
        (
            RETINANET_SIZES,
            ["a.yaml:4", "SIZES: [[32.0, 40.3174", "812.7493386077181]] instead"],
        ),
    ],
)
def test_not_a_mapping_of_plain_values(write, text, words):
    write("a.yaml", text)
    assert_says(error_of("a.yaml"), *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"SEED: {'[' * 5000}", ["a.yaml:1", "nested too deep"]),
        ("SEED: 1\nOUTPUT_DIR: &a [*a]", ["a.yaml:2", "contains itself"]),
        (f"SEED: 1\nVIS_PERIOD: {'9' * 5000}", ["a.yaml:2", "not what its tag or form says"]),
        ("SEED: 1\nOUTPUT_DIR: 2026-01-01", ["a.yaml:2", "a date", "quote it"]),
        ("SEED: 1\nDATASETS: {TRAIN: !!set {a}}", ["a.yaml:2", "holds a YAML tag"]),
        (f"OUTPUT_DIR: {'a' * 300_000}", ["'a.yaml' cannot be read", "more than 262,144 bytes"]),
        ("SEED: 1\nDATASETS: {COCO: [{NAME: a, NAME: b}]}", ["'NAME' in a.yaml:2", "twice"]),
        (f"SEED: {'a' * 5000}", ["'SEED' must be a whole number", "aaa..."]),
    ],
)
def test_traps_of_yaml(write, text, words):
    write("a.yaml", text)
    message = error_of("a.yaml")
    assert_says(message, *words)
    assert len(message) < 300


def test_files_that_stand_on_each_other_without_end(write):
    for i in range(40):
        write(f"{i}.yaml", f"_BASE_: [{i + 1}.yaml, {i + 1}.yaml]\n")
    write("40.yaml", "SEED: 1\n")
    assert_says(error_of("0.yaml"), "'0.yaml' stands on more than 100 _BASE_ files")


@pytest.mark.parametrize("address", ["http://localhost:1/b.yaml", "https://localhost:1/b.yaml"])
def test_nothing_is_fetched(write, address):
    assert_says(error_of(address), f"Config file '{address}' is not fetched: download it")
    write("a.yaml", f"SEED: 1\n_BASE_: {address}\n")
    assert_says(error_of("a.yaml"), f"'{address}', the _BASE_ of a.yaml:2, is not fetched")


@pytest.mark.parametrize(
    "secret",
    ["root:x:0:0:root:/root:/bin/sh\nhunter2:x:1:1::\n", "TOKEN=hunter2\n", "a: [hunter2\nb: }"],
)
def test_lines_of_files_that_are_no_configs_are_not_shown(write, secret):
    write("secret", secret)
    write("a.yaml", "_BASE_: secret\n")
    message = error_of("a.yaml")
    assert "secret" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("path", ["/dev/zero", "pipe", "/"])
def test_only_regular_files_are_opened(write, tmp_path, path):
    os.mkfifo(tmp_path / "pipe")
    write("a.yaml", f"_BASE_: {path}\n")
    for message in (error_of("a.yaml"), error_of(path)):
        assert_says(message, f"Config file '{path}'", "it is a device" if path != "/" else "folder")


def test_a_python_tag_runs_nothing(write, tmp_path):
    write("b.yaml", "SEED: !!python/object/apply:os.mkdir [ran]\n")
    write("a.yaml", "_BASE_: b.yaml\n")
    assert_says(error_of("a.yaml"), "b.yaml:1", "refused")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("bse.yaml", ["'configs/bse.yaml', the _BASE_ of configs/a.yaml:2,", "mean 'base.yaml'"]),
        ("[base.yaml, /no/b.yaml]", ["'/no/b.yaml', the _BASE_ of configs/a.yaml:2, does not"]),
        ("a.yaml", ["circle: configs/a.yaml -> configs/a.yaml"]),
        ("b.yaml", ["circle: configs/a.yaml -> configs/b.yaml -> configs/a.yaml"]),
        ("", ["_BASE_ in configs/a.yaml:2 must be a file name or a list"]),
        ("[base.yaml, 3]", ["_BASE_ in configs/a.yaml:2 must be a file name or a list"]),
    ],
)
def test_bases_that_cannot_be_resolved(write, base, words):
    write("configs/base.yaml", "SEED: 1\n")
    write("configs/b.yaml", "_BASE_: ../configs/a.yaml\n")
    write("configs/a.yaml", f"SEED: 1\n_BASE_: {base}\n")
    assert_says(error_of("configs/a.yaml"), *words)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("MODEL.CLS_LOS.NAME", "'MODEL.CLS_LOSS.NAME'"),
        ("MODLE.WEIGHTS", "'MODEL.WEIGHTS'"),
        ("MODEL.WEIGTHS", "'MODEL.WEIGHTS'"),
        ("model.weights", "'MODEL.WEIGHTS'"),
        ("MODEL.NUM_CLASSES", "'MODEL.RETINANET.NUM_CLASSES'"),
        ("MODEL.RETINANET.CLS_LOSS.NAME", "'MODEL.CLS_LOSS.NAME'"),
        ("ALPHA", "MODEL.CLS_LOSS.FOCAL.ALPHA"),
        ("NOTHING_LIKE_IT", "There are: CUDNN_BENCHMARK, DATALOADER"),
    ],
)
def test_unknown_key(write, key, nearest):
    assert_says(error_of(opts=[key, "1"]), f"'{key}' on the command line", nearest)
    *groups, name = key.split(".")
    lines = [f"{'  ' * depth}{group}:" for depth, group in enumerate(groups)]
    write("b.yaml", "\n".join(["SEED: 1", *lines, f"{'  ' * len(groups)}{name}: 1"]))
    write("a.yaml", "_BASE_: b.yaml\n")
    assert_says(error_of("a.yaml"), f"'{key}' in b.yaml:{len(groups) + 2}", nearest)


@pytest.mark.parametrize(
    ("key", "value", "needed"),
    [
        ("SOLVER.BASE_LR", "1", "a number with a decimal point or exponent, such as 1.0"),
        ("SOLVER.MAX_ITER", "1e4", "a whole number"),
        ("MODEL.MASK_ON", "maybe", "True or False"),
        ("OUTPUT_DIR", "2020", "a text, quoted twice"),
        ("DATASETS.TRAIN", "shapes_train", "a list, such as [1, 2]"),
        ("DATASETS.COCO", "shapes_train", "a list, such as [1, 2]"),
    ],
)
def test_wrong_type(write, key, value, needed):
    assert_says(error_of(opts=[key, value]), f"'{key}' must be {needed}", f"line it is {value}.")
    write("a.yaml", "SEED: 1\n" + key.replace(".", ":\n  ") + f": {value}\n")
    line = 2 + key.count(".")
    assert_says(error_of("a.yaml"), f"'{key}' must be {needed}", f"in a.yaml:{line} it is")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "MODEL: RetinaNet\n",
            ["'MODEL' in a.yaml:1 is a group", "'MODEL.LOAD_PROPOSALS'"],
        ),
        ("SEED: 1\nSOLVER:\n", ["'SOLVER' in a.yaml:2 is a group of keys"]),
        (
            "SOLVER:\n  STEPS:\n    A: 1\n",
            ["'SOLVER.STEPS.A' in a.yaml:3", "is a value"],
        ),
        ("SOLVER:\n  STEPS: {}\n", ["'a.yaml'", "SOLVER.STEPS"]),
        ("SOLVER.BASE_LR: 0.1\n", ["'SOLVER.BASE_LR' in a.yaml:1 must be written as nested keys"]),
        ("SEED: 1\nVERSION: 3\n", ["VERSION is 3 in a.yaml:2", "write VERSION: 2"]),
        ("VERSION: 1\nMODEL: {NOTHING: 1}\n", ["VERSION is 1 in a.yaml:1", "write VERSION: 2"]),
        (
            "MODEL: {MASK_ON: True}\nSEED: 1\nMODEL: {WEIGHTS: x}\n",
            ["'MODEL' in a.yaml:3"],
        ),
        (
            "INPUT: {MIN_SIZE_TRAIN: (96,), MIN_SIZE_TEST: (96,)}\n",
            ["')' in a.yaml:1 is no key: YAML cuts (1, 2) at the comma", "as [1, 2]"],
        ),
        ("SOLVER:\n  GAMMA: 0.1\n  GAMMA: 0.2\n", ["'GAMMA' in a.yaml:3 is there twice"]),
        ("SEED: 1\nSOLVER:\n  STEPS:\n", ["'SOLVER.STEPS' in a.yaml:3 has no value"]),
        ("OUTPUT_DIR: null\n", ["'OUTPUT_DIR' in a.yaml:1 has no value"]),
    ],
)
def test_wrong_structure(write, text, words):
    write("a.yaml", text)
    assert_says(error_of("a.yaml"), *words)


@pytest.mark.parametrize("text", ["SEED: 1\nSEED: 2\n", "SEED:\n"])
def test_a_base_without_error_is_looked_at(write, text):
    write("b.yaml", text)
    write("a.yaml", "VERSION: 2\n_BASE_: b.yaml\n")
    assert_says(error_of("a.yaml"), "'SEED' in b.yaml:")


def test_what_only_looks_like_a_repeated_or_an_empty_key(write):
    write("b.yaml", "OUTPUT_DIR:\nSOLVER: {WEIGHT_DECAY_BIAS: 0.1}\n")  # a.yaml corrects this
    write(
        "a.yaml",
        """
        _BASE_: b.yaml
        MODEL:
          CLS_LOSS: &loss {NAME: focal, SCOPE: batch}
          RPN_LOSS: {CLS: {<<: *loss, NAME: ap}}
        SOLVER: {WEIGHT_DECAY_BIAS: null}
        OUTPUT_DIR: here
        """,
    )
    cfg = load_config("a.yaml")
    assert (cfg.MODEL.CLS_LOSS.NAME, cfg.MODEL.RPN_LOSS.CLS.NAME) == ("focal", "ap")
    assert (cfg.SOLVER.WEIGHT_DECAY_BIAS, cfg.OUTPUT_DIR) == (None, "here")


@pytest.mark.parametrize(
    ("opts", "words"),
    [
        (["SEED", "1", "SOLVER.BASE_LR"], ["'SOLVER.BASE_LR' on the command line has no value"]),
        (["SEED=1"], ["'SEED=1' on the command line", "write 'SEED 1', with a space"]),
        (["SEED=1", "VIS_PERIOD=2"], ["write 'SEED 1', with a space"]),
        (["MODEL.CLS_LOSS", "focal"], ["is a group of keys", "such as 'MODEL.CLS_LOSS.NAME'"]),
        (["MODEL.CLS_LOSS", "{}"], ["is a group of keys", "such as 'MODEL.CLS_LOSS.NAME'"]),
        (["SOLVER.MAX_ITER", "None"], ["'SOLVER.MAX_ITER' on the command line has no value"]),
        (["OUTPUT_DIR.NAME", "x"], ["'OUTPUT_DIR' is a value, not a group of keys"]),
    ],
)
def test_wrong_overrides(opts, words):
    assert_says(error_of(opts=opts), *words)


def test_renamed_and_deprecated_keys(write, monkeypatch):
    def add_keys(cfg):
        cfg.register_renamed_key("OLD.KEY", "SEED")
        cfg.register_deprecated_key("GONE")

    monkeypatch.setattr("imbdet.config.merging.add_imbdet_config", add_keys)
    write("a.yaml", "GONE: 1\nOLD:\n  KEY: 1\n")
    renamed = "OLD.KEY was renamed to SEED"
    assert_says(error_of("a.yaml"), renamed, "in a.yaml:3")
    assert_says(error_of(opts=["OLD.KEY", "1"]), renamed, "on the command line")
    assert "GONE" not in load_config(opts=["GONE", "1"])
