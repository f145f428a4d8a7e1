import itertools

import numpy as np
import pytest

from imbdet.drawing.joint_panels import JointPanel, add_grid, common_norm, finite_edges
from imbdet.drawing.style import new_figure
from imbdet.records import IOU_EDGES, LOSS_EDGES, read_histograms
from imbdet.report.elements import to_html
from imbdet.report.records_tab import (
    MAX_STRETCHES,
    PANELS,
    add_up,
    draw_stages,
    read_stretches,
    records_content,
)
from imbdet.report.result_files import CannotShow
from tests.report.factories import write_records

EDGES = {"iou_edges": IOU_EDGES.numpy(), "loss_edges": LOSS_EDGES.numpy()}


def test_stretches_add_up_to_the_training(tmp_path):
    truth = write_records(tmp_path, num_parts=3)
    stretches, problems = read_stretches(tmp_path / "histograms")
    assert list(stretches) == ["iterations 0 to 9", "iterations 10 to 19", "iterations 20 to 29"]
    assert not problems
    whole = add_up(list(stretches.values()))
    for name, counts in truth.items():
        np.testing.assert_array_equal(whole[name], counts)
    assert whole["num_batches"] == read_histograms(tmp_path / "histograms")["num_batches"] == 6


def test_many_parts_become_few_stretches(tmp_path):
    truth = write_records(tmp_path, num_parts=MAX_STRETCHES + 7)
    stretches, _ = read_stretches(tmp_path / "histograms")
    assert len(stretches) == MAX_STRETCHES
    ends = [[int(word) for word in name.split() if word.isdigit()] for name in stretches]
    assert ends[0][0] == 0
    assert ends[-1][1] == 10 * (MAX_STRETCHES + 7) - 1
    assert all(second[0] == first[1] + 1 for first, second in itertools.pairwise(ends))
    whole = add_up(list(stretches.values()))
    np.testing.assert_array_equal(whole["roi_heads/neg_chosen"], truth["roi_heads/neg_chosen"])


def test_each_stage_shows_its_stretch(tmp_path, monkeypatch):
    truth = write_records(tmp_path, num_parts=2)
    stretches, _ = read_stretches(tmp_path / "histograms")
    shown = []
    monkeypatch.setattr(
        "imbdet.report.records_tab.to_svg",
        lambda figure, **_: shown.append({a.get_title(loc="left"): a for a in figure.axes}) or b"",
    )
    draw_stages("roi_heads", {"whole": truth | EDGES, **stretches})
    for titles, counts in zip(shown, [truth, *stretches.values()], strict=True):
        for kind, text in PANELS.items():
            assert f"{text} ({counts[f'roi_heads/{kind}'].sum():,})" in titles


def test_cells_and_marginals_are_those_of_the_shares():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, (5, 6))
    shares = counts / counts.sum()
    edges = np.arange(6) / 5, finite_edges(10.0 ** np.arange(-3, 2))
    panel = JointPanel(add_grid(new_figure(2), 1, 1), (0, 0), *edges, common_norm([shares]))
    panel.show(shares, "title")
    panel.zoom(shares > 0)
    np.testing.assert_array_equal(panel.mesh.get_array().filled(0), shares.T)
    main, top, right = panel.axes.figure.axes
    (by_iou,), (by_loss,) = top.patches, right.patches
    np.testing.assert_allclose(by_iou.get_data().values, shares.sum(axis=1))
    np.testing.assert_allclose(by_loss.get_data().values, shares.sum(axis=0))
    assert main.get_xlim() == top.get_xlim() == (0, 1)
    assert main.get_ylim() == right.get_ylim() == pytest.approx((1e-4, 100))
    assert panel.mesh.norm.vmin == shares[shares > 0].min()


def test_page_says_totals_and_what_is_not_known(tmp_path):
    truth = write_records(tmp_path)
    text = to_html(records_content(tmp_path))
    for kind in PANELS:
        assert f">{truth[f'roi_heads/{kind}'].sum():,}<" in text
    assert "No loss is known, only the IoU: available positives, chosen positives, " in text
    assert "6 batches recorded" in text
    assert text.count('class="stages"') == 2
    assert text.count("<img") == 2 * 4  # the whole training and three stretches


def test_damaged_parts_are_left_out_and_named(tmp_path):
    write_records(tmp_path, num_parts=2)
    first, second = sorted((tmp_path / "histograms").iterdir())
    first.write_bytes(first.read_bytes()[:100])
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "part-0000009-rank0.parquet").write_bytes(b"PAR1")
    text = to_html(records_content(tmp_path))
    assert "'part-0000009-rank0.npz' is damaged or incomplete." in text
    assert "'part-0000009-rank0.parquet' is damaged or incomplete." in text
    assert "2 batches recorded" in text
    second.unlink()
    with pytest.raises(CannotShow, match=r"no histograms.*part-0000009-rank0.npz"):
        read_stretches(tmp_path / "histograms")
