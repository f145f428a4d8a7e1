from imbdet.compare.differing_keys import DifferingKeys


def test_the_first_of_many_keys_are_named():
    keys = DifferingKeys({"a": {"X": [1, 2]}, "b": {f"K{i}": ["", [i]] for i in range(10)}})
    first, second = keys.sentence().split(". ")
    assert first == "a has X 2 instead of 1"
    assert second.startswith("b has K0 [0] instead of '', K1 [1] instead of ''")
    assert second.endswith(", K7 [7] instead of '', and 2 more keys.")
    rows = keys.table().to_pylist()
    assert len(rows) == 11
    assert rows[-1] == {"run": "b", "key": "K9", "baseline": "''", "value": "[9]"}
