import numpy as np
import pyarrow as pa
import pytest

from imbdet.compare.analysed_candidates import advise_analyses, open_candidates
from imbdet.compare.ground_truth import GroundTruth
from imbdet.compare.run_folders import RunFolder
from imbdet.figures.binned_scores import bin_scores
from imbdet.figures.candidate_columns import IMAGES
from imbdet.figures.part_files import PartReader, PartWriter
from imbdet.figures.score_by_iou import score_by_iou
from imbdet.figures.score_by_rank import score_by_rank
from imbdet.figures.study import NothingToShow
from imbdet.programs.processes import path_of

SCHEMA = pa.schema(
    [
        ("label", pa.int8()),
        ("hierarchical_rank", pa.int32()),
        ("score", pa.float32()),
        ("pred_iou", pa.float32()),
    ]
)
LABELS = [1, 1, 1, 1, 0, 0, 0, -1]
RANKS = [0, 0, 1, 3, 0, 2, None, None]
IOUS = [1.0, 0.95, 0.55, 0.5, None, None, None, None]


def write_candidates(folder, scores, labels=LABELS, ranks=RANKS, rows_per_part=3):
    rows = {"label": labels, "hierarchical_rank": ranks, "score": scores, "pred_iou": IOUS}
    with PartWriter(folder, SCHEMA, rows_per_part) as writer:
        for i in range(len(labels)):
            writer.add({name: values[i : i + 1] for name, values in rows.items()})
    return PartReader(folder)


@pytest.fixture
def readers(tmp_path):
    first = [0.9, 0.7, 0.5, 0.3, 0.4, 0.2, 0.1, 1.0]
    second = [1.0, 0.9, 0.5, 0.1, 0.3, 0.3, 0.9, 0.0]
    return {
        name: write_candidates(tmp_path / name, scores)
        for name, scores in (("base", first), ("other", second))
    }


def test_scores_by_rank(readers):
    found = score_by_rank(readers)
    positives, negatives = found.of_sign["positives"], found.of_sign["negatives"]
    assert positives.edges[:5].tolist() == [0, 1, 2, 4, 8]
    assert positives.counts["base"][:4].tolist() == [2, 1, 1, 0]
    assert positives.means["base"][:3] == pytest.approx([0.8, 0.5, 0.3])
    assert positives.differences["other"][:3] == pytest.approx([0.15, 0, -0.2])
    assert negatives.counts["base"][:4].tolist() == [1, 0, 1, 0]  # one has no rank
    assert negatives.differences["other"][[0, 2]] == pytest.approx([-0.1, 0.1])
    assert np.isnan(negatives.means["base"][1])
    assert found.sentence() == (
        "Change of the mean score: the first positives of IoU-HLR other +0.150; the first "
        "negatives of Score-HLR other -0.100."
    )
    assert found.table().num_rows == 2 * 2 * 12


def test_scores_by_iou(readers):
    numbers = score_by_iou(readers).of_positives
    assert numbers.counts["base"].tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert numbers.means["base"][[5, 9]] == pytest.approx([0.4, 0.8])
    assert numbers.differences["other"][[5, 9]] == pytest.approx([-0.1, 0.15])
    assert "other -0.100 at an IoU of 0.5 to 0.6" in score_by_iou(readers).sentence()


def test_ranks_of_positives_alone(tmp_path):
    # Ranks of a one-stage detector, whose negatives have none.
    ranks = [0, 0, 1, 3] + [None] * 4
    readers = {n: write_candidates(tmp_path / n, [0.5] * 8, ranks=ranks) for n in ("x", "y")}
    found = score_by_rank(readers)
    assert found.of_sign.keys() == {"positives"}
    assert found.sentence().endswith(" No negatives have a rank.")


def test_no_candidates(tmp_path):
    readers = {
        name: write_candidates(tmp_path / name, [0.5] * 8, labels=[-1] * 8) for name in ("x", "y")
    }
    with pytest.raises(NothingToShow, match="no candidate has a rank"):
        score_by_rank(readers)
    with pytest.raises(NothingToShow, match="there are no positives"):
        score_by_iou(readers)


def test_last_bin_has_all_beyond():
    found = bin_scores(np.array([0, 1, 2]), {"run": [(np.array([0, 1, 7]), np.array([1, 2, 4]))]})
    assert found.counts["run"].tolist() == [1, 2]
    assert found.means["run"].tolist() == [1, 3]


def analysed(folder, image_ids):
    write_candidates(folder / "analysis" / "tables" / "candidates", [0.5] * 8)
    with PartWriter(folder / "analysis" / "tables" / "images", IMAGES) as writer:
        rows = {name: [1] * len(image_ids) for name in IMAGES.names}
        files = [f"{folder}/{i}.png" for i in image_ids]
        writer.add({**rows, "image_id": image_ids, "file_name": files})
    return RunFolder(folder.name, folder, settings={}, cfg=None)


def a_test_set(num_images):
    return GroundTruth("tiny", {"images": [{}] * num_images}, image_root="", json_file="")


def test_candidates_of_the_same_images(tmp_path):
    first, second = (analysed(tmp_path / name, ["1", "2"]) for name in ("a", "b"))
    assert open_candidates([first, second]).keys() == {"a", "b"}
    third = analysed(tmp_path / "c", ["1", "3"])
    with pytest.raises(NothingToShow, match="c and a were analysed on other images"):
        open_candidates([first, third])
    (advice,) = advise_analyses([first, second, third], a_test_set(num_images=9))
    assert advice.startswith("c was analysed on other images than a; `")
    assert advice.endswith(f"{third.folder}/analysis --num-images 2` looks at the same ones.")


def test_a_missing_analysis_is_said(tmp_path):
    folder = tmp_path / "my run"
    folder.mkdir()
    (folder / "last_checkpoint").write_text("model_0000099.pth")
    (folder / "model_0000099.pth").touch()
    run = RunFolder("my run", folder, settings={}, cfg=None)
    with pytest.raises(NothingToShow, match="needs an analysis of my run"):
        open_candidates([analysed(tmp_path / "a", ["1"]), run])
    command = (
        f"{path_of('imbdet')} analyze --config-file '{folder}/config.yaml' --weights "
        f"'{folder}/model_0000099.pth' --dataset tiny --output '{folder}/analysis'"
    )
    for runs in ([run], [run, analysed(tmp_path / "b", ["1", "2"])]):
        sentence = f"my run has no analysis, which `{command}` writes."
        assert advise_analyses(runs, a_test_set(num_images=2)) == [sentence]
    # An analysis of a few images, as the demo makes one, asks for another of as few.
    (advice,) = advise_analyses([analysed(tmp_path / "c", ["1"]), run], a_test_set(num_images=2))
    assert f"`{command} --num-images 1`" in advice
    (folder / "model_0000099.pth").unlink()  # as if a search had dropped the training
    (advice,) = advise_analyses([run], a_test_set(num_images=2))
    assert advice == "my run has no analysis, and no checkpoint for one."
