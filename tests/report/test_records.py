import itertools

import numpy as np
import pytest

from imbdet.records import read_histograms
from imbdet.report.elements import to_html
from imbdet.report.joint import joint_plots
from imbdet.report.records import MAX_STRETCHES, PANELS, add_up, read_stretches, records_content
from imbdet.report.sources import CannotShow
from tests.report.factories import write_records


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


def test_each_frame_shows_its_stretch():
    rng = np.random.default_rng(0)
    stages = {name: rng.integers(0, 4, (5, 6)) for name in ("all", "first", "second")}
    edges = np.arange(6) / 5, np.array([0, *10.0 ** np.arange(-3, 2), np.inf])
    (plot,) = joint_plots({"chosen positives": stages}, *edges)
    assert [frame.name for frame in plot.figure.frames] == list(stages)
    shown = [plot.figure, *plot.figure.frames]
    for figure, counts in zip(shown, [stages["all"], *stages.values()], strict=True):
        cells, above, right = figure.data
        np.testing.assert_array_equal(cells.customdata, counts.T)
        np.testing.assert_array_equal(above.y[:-1], counts.sum(axis=1))
        np.testing.assert_array_equal(right.x[:-1], counts.sum(axis=0))
        shares = np.where(counts.T > 0, 10.0**cells.z, 0)
        np.testing.assert_allclose(shares, counts.T / counts.sum(), rtol=1e-5)


def test_page_says_totals_and_what_is_not_known(tmp_path):
    truth = write_records(tmp_path)
    text = to_html(records_content(tmp_path))
    for kind in PANELS:
        assert f">{truth[f'roi_heads/{kind}'].sum():,}<" in text
    assert "No loss is known, only the IoU: available positives, chosen positives, " in text
    assert "6 batches recorded" in text
    assert text.count('class="stages"') == 2


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
