from imbdet.data.class_table import format_class_table


def rows_of(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines()[2:]]


def table_of(counts, weights=None):
    classes = [f"c{i}" for i in range(len(counts))]
    return format_class_table(counts, classes, weights or [1.0] * len(counts))


def test_sorts_by_frequency():
    rows = rows_of(table_of([1, 3, 0]))
    assert rows == [["c1", "3", "75.00%"], ["c0", "1", "25.00%"], ["c2", "0", "0.00%"]]


def test_shows_weights_where_there_are_any():
    table = table_of([1, 3], [1.5, 0.83333])
    assert table.splitlines()[0].split() == ["class", "boxes", "share", "weight"]
    assert rows_of(table) == [["c1", "3", "75.00%", "0.833"], ["c0", "1", "25.00%", "1.5"]]


def test_folds_the_middle_of_many_classes():
    rows = rows_of(table_of([1] * 80))
    assert len(rows) == 21
    assert rows[0] == ["c0", "1", "1.25%"]
    assert rows[10] == ["...", "60", "classes", "...", "60", "75.00%"]
    assert rows[20] == ["c79", "1", "1.25%"]


def test_accepts_no_boxes():
    assert rows_of(table_of([0])) == [["c0", "0", "0.00%"]]
