"""The YAML file of a search or a grid."""

from pathlib import Path

import pytest

from imbdet.errors import UserError
from imbdet.search.space import RATE_KEY, Final, read_space
from imbdet.untrusted.plain_yaml import MAX_BYTES
from tests.messages import assert_says, error_of

EXAMPLES = Path(__file__).parents[2] / "examples"
SPACE = """
base: [base.yaml]
axes:
  loss:
    a: [piece.yaml, {A: 1}]
    b: {A: 2}
  sampler: {c: [], d: "imbdet://PISA.yaml"}
learning_rates: [0.1, 0.02]
seeds: [1, 2]
overrides: {B: [1, 2]}
rungs: [3, 9]
final: {dataset: x_test, seeds: [5]}
"""


@pytest.fixture
def read(tmp_path):
    for name in ("base.yaml", "piece.yaml", "first.yaml"):
        (tmp_path / name).touch()

    def write_and_read(text, *files):
        (tmp_path / "space.yaml").write_text(text)
        return read_space(tmp_path / "space.yaml", files)

    return write_and_read


def test_all_combinations_are_arms(read):
    space = read(SPACE)
    assert list(space.methods) == ["a-c", "a-d", "b-c", "b-d"]
    assert space.methods["b-d"] == ["b-d-lr_0.1", "b-d-lr_0.02"]
    assert [arm.learning_rate for arm in space.arms.values()] == [0.1, 0.02] * 4
    assert space.arms["b-c-lr_0.1"].choices == {"loss": "b", "sampler": "c"}
    assert (space.seeds, space.rungs) == ([1, 2], [3, 9])
    assert space.final == Final("x_test", [5])


def test_the_parts_of_an_arm_are_in_order(read, tmp_path):
    arm = read(SPACE, "first.yaml").arms["a-d-lr_0.1"]
    names = ["first.yaml", tmp_path / "base.yaml", tmp_path / "piece.yaml", "imbdet://PISA.yaml"]
    files = [word for name in names for word in ("--config-file", str(name))]
    opts = ["B", "[1, 2]", "A", "1", "SOLVER.BASE_LR", "0.1", "SEED", "7"]
    assert arm.arguments(7) == [*files, *opts]


def test_a_space_without_axes_is_its_base(read):
    space = read("base: [base.yaml]")
    assert list(space.arms) == ["base"]
    assert space.seeds == [0]


def test_a_path_may_begin_at_home(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("base: [~/base.yaml]").arms["base"].files == [str(tmp_path / "base.yaml")]


BAD_SPACES = {
    "unknown key": ("bases: []", "Did you mean 'base'"),
    "no file": ("base: [nowhere.yaml]", "nowhere.yaml"),
    "no address": ("base: ['imbdet://Loss-PA.yaml']", "imbdet://Loss-AP.yaml"),
    "no list": ("base: x.yaml", "base is of type str, not list"),
    "no choices": ("axes: {loss: {}}", "'loss' has no choices"),
    "choices without names": ("axes: {loss: []}", "axes.loss is of type list"),
    "no choice": ("axes: {loss: {a: 3}}", "'a' of 'loss' must be a list"),
    "no choice in a list": ("axes: {loss: {a: [3]}}", "'a' of 'loss' must be a list"),
    "a folder": ("axes: {loss: {a/b: []}}", "'a/b'"),
    "two lines": ('axes: {loss: {"a\\nb": []}}', "its name a name of a folder"),
    "a long name": (f"axes: {{a: {{{'x' * 150}: []}}, b: {{{'y' * 150}: []}}}}", "is too long for"),
    "one folder for two": (
        "axes: {a: {x: [], x-y: []}, b: {z: [], y-z: []}}",
        "two combinations have the name 'x-y-z'",
    ),
    "a choice twice": ("axes: {a: {x: [], x: []}}", "is there twice"),
    "a seed twice": ("seeds: [1, 1]", "seeds are [1, 1]"),
    "no seed": ("seeds: [-1]", "seeds are [-1]"),
    "a seed too high": ("final: {dataset: x, seeds: [4294967296]}", "from 0 to 4294967295"),
    "half a seed": ("seeds: [1.5]", "seeds[0] is of type float"),
    "a rate twice": ("learning_rates: [1, 1.0]", "learning_rates are [1.0, 1.0]"),
    "a rate beside rates": (
        "learning_rates: [1]\noverrides: {SOLVER.BASE_LR: 2}",
        "SOLVER.BASE_LR is set beside learning_rates",
    ),
    "an endless rate": ("learning_rates: [.inf]", "learning_rates are [inf]"),
    "a rate of 0": ("learning_rates: [0, 1]", "and be above 0"),
    "no rate": ("learning_rates: [.nan]", "learning_rates are [nan]"),
    "a rate in words": ("learning_rates: [fast]", "learning_rates are ['fast']: each must be a"),
    "one seed for all": ("overrides: {SEED: 3}", "SEED is set, but each training has its own"),
    "one folder for all": ("axes: {a: {x: {OUTPUT_DIR: o}}}", "OUTPUT_DIR is set, but each"),
    "an axis of seeds": ("axes: {seed: {x: []}}", "an axis cannot be called 'seed'"),
    "a key of no end": (
        "final: {dataset: x, seeds: [1], data: y}",
        "final has an unknown key 'data'",
    ),
    "rungs that fall": ("rungs: [9, 3]", "rungs are [9, 3]"),
    "no rungs": ("rungs: []", "rungs are []"),
    "no split": ("final: {seeds: [1]}", "it has no space.final.dataset"),
    "no YAML": ("base: [", "YAML syntax error"),
    "nothing": ("", "is empty"),
    "no keys": ("3", "holds no keys"),
}


@pytest.mark.parametrize(("text", "message"), BAD_SPACES.values(), ids=BAD_SPACES.keys())
def test_a_bad_file_is_one_sentence_with_its_name(text, message, read):
    with pytest.raises(UserError) as caught:
        read(text)
    assert message in str(caught.value)
    assert "space.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty."),
        (b"3", "holds no keys"),
        (b"\xff\xfe\xfd", "is not a text file"),
        (b"\0", "is not a text file"),
        (b"#" * (MAX_BYTES + 1), f"cannot be read: it has more than {MAX_BYTES:,} bytes."),
        (None, "does not exist"),
    ],
    ids=["empty", "no keys", "bytes", "NUL", "too large", "nothing"],
)
def test_a_file_that_cannot_be_read_is_called_what_it_is(content, words, tmp_path):
    path = tmp_path / "space.yaml"
    if content is not None:
        path.write_bytes(content)
    assert_says(error_of(read_space, path), f"Search space '{path}' {words}")


def test_the_example_names_files_that_exist():
    assert len(read_space(EXAMPLES / "search.yaml").arms) == 4
    assert len(read_space(EXAMPLES / "forecast.yaml").arms) == 9


def test_a_rate_is_a_number_however_it_is_written(read):
    # YAML takes 1 for a whole number, and 1e-3 for a text.
    arms = read("learning_rates: [1, 1e-3]").arms
    assert [arm.opts for arm in arms.values()] == [[RATE_KEY, "1.0"], [RATE_KEY, "0.001"]]


def test_numbers_are_names(read):
    assert list(read("axes: {gamma: {0.5: {G: 0.5}, 2: {G: 2.0}}}").arms) == ["0.5", "2"]
