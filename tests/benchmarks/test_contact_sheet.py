"""benchmarks/contact_sheet.py: the crops of suspects in one picture."""

import csv

import pytest
from PIL import Image

from tests.test_configs import CONFIGS


@pytest.fixture
def contact_sheet(monkeypatch):
    monkeypatch.syspath_prepend(str(CONFIGS.parent / "benchmarks"))
    import contact_sheet

    return contact_sheet


def test_the_highest_scores_come_first(contact_sheet, tmp_path):
    (tmp_path / "crops").mkdir()
    suspects = [("duplicate", 0.2, "red"), ("missing", 0.9, "blue"), ("missing", 0.5, "")]
    with (tmp_path / "suspects.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "score", "crop"])
        for kind, score, color in suspects:
            writer.writerow([kind, score, f"{color}.png" if color else ""])
            if color:
                Image.new("RGB", (400, 400), color).save(tmp_path / "crops" / f"{color}.png")
    contact_sheet.main([str(tmp_path), "--columns", "2", "--output", str(tmp_path / "sheet.png")])
    with Image.open(tmp_path / "sheet.png") as sheet:
        middle = contact_sheet.HEADING + contact_sheet.SIDE // 2
        assert sheet.getpixel((50, middle)) == (0, 0, 255)
        assert sheet.getpixel((50 + contact_sheet.SIDE + contact_sheet.GAP, middle)) == (255, 0, 0)
        assert sheet.height < 2 * contact_sheet.SIDE
