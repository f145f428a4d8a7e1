from imbdet.data.class_table import format_class_table


def records_of(counts: list[int]) -> list[dict]:
    return [
        {"annotations": [{"category_id": category_id, "iscrowd": 0}] * count}
        for category_id, count in enumerate(counts)
    ]


def rows_of(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()[2:]]


def test_sorts_by_frequency_without_crowds():
    records = [*records_of([1, 3, 0]), {"annotations": [{"category_id": 2, "iscrowd": 1}]}]
    rows = rows_of(format_class_table(records, ["cat", "dog", "cow"]))
    assert rows == [["dog", "3", "75.00%"], ["cat", "1", "25.00%"], ["cow", "0", "0.00%"]]


def test_folds_the_middle_of_many_classes():
    rows = rows_of(format_class_table(records_of([1] * 80), [f"c{i}" for i in range(80)]))
    assert len(rows) == 21
    assert rows[0] == ["c0", "1", "1.25%"]
    assert rows[10] == ["...", "60", "classes", "...", "60", "75.00%"]
    assert rows[20] == ["c79", "1", "1.25%"]


def test_accepts_no_boxes():
    assert rows_of(format_class_table([], ["cat"])) == [["cat", "0", "0.00%"]]
