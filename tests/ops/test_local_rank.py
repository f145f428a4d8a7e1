"""Hierarchical local rank against its worked example and its definition in loops."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from imbdet.weighting import hierarchical_local_rank


def test_worked_example():
    # A, B, C cover one person, C > A > B; D, E another, D > E; D is best of all and A beats E.
    ious = torch.tensor([0.80, 0.60, 0.85, 0.92, 0.70])
    ranks = hierarchical_local_rank(ious, torch.tensor([7, 7, 7, 3, 3]), torch.zeros(5).long())
    assert "".join("ABCDE"[i] for i in ranks.argsort()) == "DCAEB"


def definition(values, groups, classes):
    """Hierarchical local rank by the rank in the group, then in the class, by a stable sort."""
    local_ranks = {}
    for group in set(groups):
        members = [i for i in range(len(values)) if groups[i] == group]
        members.sort(key=lambda i: -values[i])
        local_ranks.update({i: rank for rank, i in enumerate(members)})
    positions = [0] * len(values)
    for label in set(classes):
        members = sorted(
            (i for i in range(len(values)) if classes[i] == label), key=lambda i: -values[i]
        )
        members.sort(key=lambda i: local_ranks[i])
        for position, i in enumerate(members):
            positions[i] = position
    return positions


# Few distinct values, so that there are ties; ids may be negative and have gaps.
ROWS = st.lists(
    st.tuples(st.integers(0, 6), st.integers(-2, 5).map(lambda x: 1000 * x), st.integers(0, 3)),
    max_size=60,
)


@given(rows=ROWS)
def test_equals_the_definition(rows):
    values, groups, classes = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
    tensors = torch.tensor(values) / 7, torch.tensor(groups).long(), torch.tensor(classes).long()
    by_class = hierarchical_local_rank(*tensors)
    assert by_class.dtype == torch.int64
    assert by_class.tolist() == definition(values, groups, classes)
    assert hierarchical_local_rank(*tensors[:2]).tolist() == definition(
        values, groups, [0] * len(rows)
    )


def test_all_ties_keep_the_order_of_the_rows():
    ranks = hierarchical_local_rank(torch.ones(5), torch.tensor([0, 0, 1, 1, 1]))
    assert ranks.tolist() == [0, 2, 1, 3, 4]


def test_neighbouring_values_are_told_apart_in_large_groups():
    # A key rank + value in float32 would merge these: their spacing at 5,000 is 0.0005.
    values = 0.9 + torch.arange(10_000) * 6e-8
    assert len(values.unique()) > 5_000
    ranks = hierarchical_local_rank(values, torch.arange(10_000) // 2)
    order = ranks.argsort()
    assert (values[order][:5_000].diff() <= 0).all()
    assert (values[order][5_000:].diff() <= 0).all()
