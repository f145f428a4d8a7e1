"""The AP that a search reads of a training."""

import json
from pathlib import Path

import pytest
from detectron2.data import MetadataCatalog

import train_net
from imbdet.search.reached_ap import reached_ap
from tests.engine.jobs import arguments

pytestmark = pytest.mark.usefixtures("restored_loggers", "own_datasets")


@pytest.mark.parametrize(("is_averaged", "judged"), [(False, "inference"), (True, "inference_EMA")])
def test_the_averaged_weights_are_judged_where_there_are_some(is_averaged, judged, tmp_path):
    keys = {"SOLVER.MAX_ITER": 1, "MODEL_EMA.ENABLED": is_averaged}
    assert train_net.main(arguments(tmp_path, **keys)) == 0
    ap, num_images = reached_ap(tmp_path, "shapes_val")
    assert ap[0] < 50
    assert num_images == 4
    # Detections as if these weights had found all objects.
    truth = json.loads(Path(MetadataCatalog.get("shapes_val").json_file).read_text())
    found = [{**note, "score": 1.0} for note in truth["annotations"]]
    results = tmp_path / judged / "shapes_val" / "coco_instances_results.json"
    assert results.exists()
    results.write_text(json.dumps(found))
    ap, _ = reached_ap(tmp_path, "shapes_val")
    assert ap[0] == pytest.approx(100)
