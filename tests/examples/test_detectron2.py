"""detectron2 projects to which a loss and a sampler of imbdet are added."""

import re
import types

import pytest

import imbdet.modeling

# isort: split
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import default_argument_parser
from omegaconf import OmegaConf

from imbdet.losses import ap_loss, giou_loss, varifocal_loss
from imbdet.samplers import HardSampler, IoUBalancedNegatives
from tests.examples.page import ROOT, block, example, without_imbdet
from tests.modeling.conftest import make_batch, train_step


@pytest.fixture
def load():
    """Function that runs the source of an example as a module of its own."""

    def run(source):
        module = types.ModuleType("project")
        exec(source, vars(module))
        return module

    yield run
    DatasetCatalog.pop("squares_train", None)
    MetadataCatalog.pop("squares_train", None)


def train(project, folder):
    opts = ["SOLVER.MAX_ITER", "3", "SOLVER.STEPS", "()", "SEED", "1", "OUTPUT_DIR", str(folder)]
    return project.main(default_argument_parser().parse_args(opts))


def lazy_batch(num_classes=2):
    batch = make_batch([2, 0])
    for image in batch:
        image["instances"].gt_classes %= num_classes
    return batch


@pytest.mark.usefixtures("restored_loggers")
def test_project_trains_with_a_loss_and_a_sampler(load, tmp_path):
    trainer = train(load(example("detectron2_project.py")), tmp_path)
    criterion = trainer.model.roi_heads.box_predictor.criterion
    assert criterion.cls_loss.func is ap_loss
    assert isinstance(trainer.model.roi_heads.learner.sampler.negative, IoUBalancedNegatives)
    assert 0 < trainer.storage.latest()["loss_cls"][0] <= 1  # as 1 - AP is
    assert (tmp_path / "model_final.pth").exists()


@pytest.mark.usefixtures("restored_loggers")
def test_project_is_detectron2s_without_the_added_lines(load, tmp_path):
    trainer = train(load(without_imbdet("detectron2_project.py")), tmp_path)
    modules = {type(module).__module__.split(".")[0] for module in trainer.model.modules()}
    assert modules == {"detectron2", "torch"}


def test_lazy_config_trains_with_a_loss_and_a_sampler(load):
    model = instantiate(load(example("lazy_config.py")).model)
    assert isinstance(model, imbdet.modeling.ImbRetinaNet)
    assert model.criterion.cls_loss.loss is varifocal_loss
    assert model.criterion.box_loss.loss is giou_loss
    assert isinstance(model.learner.sampler.negative, HardSampler)
    records = []
    model.learner.record_sinks.append(records.append)
    losses, gradients, _ = train_step(model, lazy_batch())
    assert all(loss.isfinite() for loss in losses.values())
    assert gradients["head.cls_score.weight"].any()
    samples = records[0].samples
    with_objects, without = samples.gt_labels.split(list(samples.num_per_image))
    assert (with_objects == 2).sum() == max(3 * (with_objects != 2).sum(), 100)
    assert len(without) == 100


def test_lazy_config_is_detectron2s_without_the_added_lines(load):
    model = instantiate(load(without_imbdet("lazy_config.py")).model)
    modules = {type(module).__module__.split(".")[0] for module in model.modules()}
    assert modules == {"detectron2", "torch"}
    assert "loss_cls" in train_step(model, lazy_batch())[0]


def test_lazy_config_can_be_saved(load, tmp_path):
    config = {"model": load(example("lazy_config.py")).model}
    file = str(tmp_path / "config.yaml")
    LazyConfig.save(OmegaConf.create(config, flags={"allow_objects": True}), file)
    model = instantiate(LazyConfig.load(file).model)
    assert model.criterion.cls_loss.loss is varifocal_loss
    assert isinstance(model.learner.sampler.negative, HardSampler)


@pytest.mark.parametrize("name", ["detectron2_project.py", "lazy_config.py"])
def test_fewer_than_ten_lines_are_added(name):
    added = [line for line in block(name, "diff").splitlines() if line.startswith("+")]
    assert 0 < len(added) < 10
    assert not re.search("^(from|import) imbdet", without_imbdet(name), re.MULTILINE)


def test_pieces_of_the_model_are_merged_by_detectron2():
    cfg = get_cfg()
    imbdet.config.add_modeling_config(cfg)
    cfg.merge_from_file(str(ROOT / "configs" / "PISA.yaml"))
    assert cfg.MODEL.SAMPLER.NEGATIVE.NAME == "score_hlr"


def test_a_key_of_the_trainer_is_refused():
    cfg = get_cfg()
    imbdet.config.add_modeling_config(cfg)
    with pytest.raises(AssertionError, match=r"Non-existent key: RECORD.PERIOD"):
        cfg.merge_from_list(["RECORD.PERIOD", 20])
