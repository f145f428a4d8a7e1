import time

import pytest

from imbdet.untrusted.plain_yaml import load_yaml

# Twelve lines, each of which has the one before nine times: more than 9 ** 12 values.
LAUGHS = "a0: &a0 [1]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12)
)
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(2000))


def test_plain_values():
    text = "a: &a {b: 1, c: 1e3}\nd: {<<: *a, e: [true, null, 'x', 1.5]}\n"
    inside = {"b": 1, "c": "1e3"}
    assert load_yaml(text) == {"a": inside, "d": {**inside, "e": [True, None, "x", 1.5]}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "more than 100,000 values"),
        (CHAIN, "nested more than 50 deep"),
        ("[" * 5000, "nested too deep"),
        ("- " * 50_000, "nested too deep"),
        ("a: &a [*a]", "contains itself"),
        ("a: &a {<<: *a}", "contains itself"),
        ("a: *b", "undefined alias"),
        (f"a: {'9' * 5000}", "not what its tag or form says"),
        (f"a: 0x{'f' * 5000}", "more than 64 bits"),
        (f"a: 1{':59' * 5000}", "more than 64 bits"),
        ("a: 2026-01-01", r"a date, which is no value: quote it \(line 1\)"),
        ("a: !!binary aGVsbG8=", "a tag, which is refused"),
        ("a: 1\nb: !!set {c}", r"a tag, which is refused \(line 2\)"),
        ("a: !!timestamp soon", "a date"),
        ("a: !!int one", "not what its tag or form says"),
        ("a: !!bool one", "not what its tag or form says"),
        ("a: !!str [1]", "expected a scalar"),
        ("? [1]\n: 2", "unhashable"),
        ("a: \0", "it is not text"),
        ("a" * 300_000, "more than 262,144 bytes"),
    ],
)
def test_traps_are_told_within_seconds(text, words):
    start = time.process_time()
    with pytest.raises(ValueError, match=words):
        load_yaml(text)
    assert time.process_time() - start < 5
