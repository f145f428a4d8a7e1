"""Losses and gradients that are not finite are saved, reported, and skipped or end the job."""

import numpy as np
import pytest
import torch
from torch import nn

import imbdet.cli
import train_net
from imbdet.engine.incidents.incident import Incident
from imbdet.engine.incidents.watch import Watch
from imbdet.engine.process_state import get_random_states
from imbdet.modeling.ground_truth import GroundTruth
from tests.engine.jobs import arguments, start
from tests.messages import assert_says, error_of

# isort: split
from detectron2.config import CfgNode
from detectron2.engine import SimpleTrainer, TrainerBase, defaults
from detectron2.structures import BitMasks, Boxes, Instances, Keypoints, PolygonMasks
from detectron2.utils import comm

ITERATIONS = 4


class Toy(nn.Module):
    """A linear model whose loss is not finite where the input says so."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.register_buffer("num_calls", torch.zeros(()))

    def forward(self, inputs):
        self.num_calls += 1
        (bad,) = (image["bad"] for image in inputs)
        loss = (self.weight.sum() - 5 + torch.rand(())) ** 2
        if bad == "error":
            raise FloatingPointError("Predicted boxes\ncontain NaN.")
        if bad == "loss":
            # The gradient stays finite, as that of losses that compute it themselves.
            loss = loss + torch.tensor(torch.inf)
        if bad == "gradient":
            loss = loss + (self.weight * 0).sum().sqrt()
        return {"loss_a": loss, "loss_b": self.weight[0] * 0}


class ToyTrainer(TrainerBase):
    """A trainer like detectron2's DefaultTrainer."""

    def __init__(self, output_dir, bad, max_skipped=0, watched=True, when=1):
        super().__init__()
        model = defaults.create_ddp_model(Toy(), broadcast_buffers=False)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        batches = [[{"bad": bad if i == when else ""}] for i in range(ITERATIONS)]
        self._trainer = SimpleTrainer(model, batches, optimizer)
        self.model, self.optimizer = model, optimizer
        cfg = CfgNode({"SOLVER": {"MAX_SKIPPED": max_skipped}, "OUTPUT_DIR": str(output_dir)})
        self.register_hooks([Watch(cfg, model)] if watched else [])

    def run_step(self):
        self._trainer.iter = self.iter
        self._trainer.run_step()

    def train(self):
        torch.manual_seed(0)
        super().train(0, ITERATIONS)
        return self


def state_of(trainer):
    return {**trainer.model.state_dict(), "sum": trainer.optimizer.state_dict()["state"]}


def test_a_sound_training_is_the_same_to_the_last_bit(tmp_path):
    plain, watched = (ToyTrainer(tmp_path, "", watched=w).train() for w in (False, True))
    torch.testing.assert_close(state_of(watched), state_of(plain), rtol=0, atol=0)
    assert not (tmp_path / "watch").exists()
    assert "forward" not in vars(watched.model)


REASONS = {
    "error": "Predicted boxes contain NaN.",
    "loss": "Not finite in iteration 1: loss_a = inf.",
    "gradient": "The gradients are not finite in iteration 1, though the losses are: of 1 of 1",
}


@pytest.mark.parametrize(("bad", "reason"), REASONS.items())
def test_stops_before_the_step_and_keeps_the_iteration(bad, reason, tmp_path):
    trainer = ToyTrainer(tmp_path, bad)
    message = error_of(trainer.train)
    file = Incident.path(tmp_path / "watch", 1, 0)
    assert_says(message, reason, "Stopped", f"`imbdet replay {file}`")
    incident = Incident.load(file)
    assert_says(incident.reason, reason)
    assert incident.iteration == 1
    assert incident.inputs == [{"bad": bad}]
    assert incident.buffers["num_calls"] == 1
    weights = torch.load(Incident.weights_path(tmp_path / "watch", 1), weights_only=True)["model"]
    torch.testing.assert_close(weights["weight"], trainer.model.weight.data, rtol=0, atol=0)
    assert trainer.model.weight.isfinite().all()


def test_the_reason_is_told_where_the_iteration_cannot_be_kept(tmp_path):
    (tmp_path / "watch").touch()  # as a full disk
    message = error_of(ToyTrainer(tmp_path, "loss").train)
    assert_says(message, REASONS["loss"], "It cannot be kept", "watch' is a file, not a folder")


@pytest.mark.parametrize("bad", REASONS)
def test_a_skipped_iteration_changes_nothing(bad, tmp_path, caplog):
    trainer = ToyTrainer(tmp_path, bad, max_skipped=1)
    states = []
    run_step = trainer.run_step

    def run_step_and_note():
        run_step()
        states.append({k: v.clone() for k, v in trainer.model.state_dict().items()})

    trainer.run_step = run_step_and_note
    trainer.train()
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=0)
    assert states[3]["num_calls"] == ITERATIONS - 1
    assert states[3]["weight"].isfinite().all()
    assert "Skipped, 1 of at most 1" in caplog.text


def test_the_number_of_skipped_iterations_is_kept(tmp_path):
    (watch,) = ToyTrainer(tmp_path, "loss", max_skipped=1).train()._hooks
    again = ToyTrainer(tmp_path, "loss", max_skipped=1)
    again._hooks[0].load_state_dict(watch.state_dict())
    assert_says(error_of(again.train), "Stopped after skipping 1 other: ")


def test_the_scaler_of_mixed_precision_skips_infinite_gradients_itself(tmp_path):
    trainer = ToyTrainer(tmp_path, "gradient", when=ITERATIONS - 1)
    trainer._trainer.grad_scaler = None
    trainer.train()
    trainer = ToyTrainer(tmp_path, "loss")
    trainer._trainer.grad_scaler = None
    assert_says(error_of(trainer.train), "loss_a = inf")


def test_a_negative_number_is_refused(tmp_path):
    assert_says(error_of(ToyTrainer, tmp_path, "", max_skipped=-1), "SOLVER.MAX_SKIPPED is -1")


@pytest.mark.parametrize("bad", REASONS)
def test_all_processes_skip_what_is_bad_in_one(bad, tmp_path):
    def run(args):
        trainer = ToyTrainer(tmp_path, bad if comm.get_rank() == 1 else "", max_skipped=1).train()
        assert comm.all_gather(trainer._hooks[0].state_dict()) == [{"num_skipped": 1}] * 2
        weights = comm.all_gather(trainer.model.module.weight.data)
        torch.testing.assert_close(*weights, rtol=0, atol=0)

    assert start(run) == 0
    names = {file.name for file in (tmp_path / "watch").iterdir()}
    # It is no longer known which process had gradients that were not finite.
    ranks = (0, 1) if bad == "gradient" else (1,)
    expected = {f"iteration_0000001_rank{rank}.pth" for rank in ranks}
    assert names == expected | {"weights_0000001.pth"}


@pytest.mark.parametrize("norm", ["naiveSyncBN", "BN"])
def test_all_processes_skip_together_where_norms_are_of_all(norm, tmp_path, monkeypatch, capfd):
    from imbdet.engine import Trainer

    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    run_step = Trainer.run_step

    def run_step_with_bad_logits(self):
        is_bad = self.iter == 1 and comm.get_rank() == 1
        layer = self.model.module.head.cls_score
        hook = layer.register_forward_hook(lambda *args: args[-1] * torch.nan if is_bad else None)
        run_step(self)
        hook.remove()

    monkeypatch.setattr(Trainer, "run_step", run_step_with_bad_logits)
    keys = {"MODEL.RESNETS.NORM": norm, "SOLVER.MAX_SKIPPED": 1, "DATASETS.TEST": "()"}
    assert train_net.main(arguments(tmp_path / "o", "--num-processes", "2", **keys)) == 0
    log = (tmp_path / "o" / "log.txt").read_text()
    assert_says(log, "Rank 1: The losses of ImbRetinaNet are not finite", "Skipped, 1 of at most 1")
    assert capfd.readouterr().err == ""


def test_all_processes_stop_at_what_is_bad_in_one(tmp_path, capfd):
    def run(args):
        ToyTrainer(tmp_path, "loss" if comm.get_rank() == 1 else "").train()

    assert start(run) == 2
    error = capfd.readouterr().err
    assert_says(error, "error: Rank 1: Not finite in iteration 1: loss_a = inf. Stopped")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("restored_loggers")
@pytest.mark.parametrize("in_bfloat16", [False, True])
def test_a_replay_repeats_the_losses(in_bfloat16, tmp_path, monkeypatch, capsys):
    from imbdet.engine import Trainer

    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    run_step = Trainer.run_step

    def run_step_with_a_bad_gradient(self):
        if self.iter == 1:
            weight = next(p for p in self.model.parameters() if p.requires_grad)
            weight.register_hook(lambda gradient: gradient * torch.nan)
        run_step(self)

    monkeypatch.setattr(Trainer, "run_step", run_step_with_a_bad_gradient)
    keys = {"MODEL.SPEED.BFLOAT16": in_bfloat16}
    assert train_net.main(arguments(tmp_path / "o", **keys)) == 2
    assert "The gradients are not finite in iteration 1" in capsys.readouterr().err
    file = Incident.path(tmp_path / "o" / "watch", 1, 0)
    assert imbdet.cli.main(["replay", str(file)]) == 0
    out = capsys.readouterr().out
    assert "The losses are the same to the last bit." in out
    assert out.count("shapes") == 4  # its images
    weights = Incident.weights_path(file.parent, 1)
    weights.unlink()
    assert imbdet.cli.main(["replay", str(file)]) == 2
    assert_says(capsys.readouterr().err, str(weights), "does not exist")


@pytest.mark.usefixtures("restored_loggers")
def test_a_training_that_diverges_names_its_samples(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    fast = {"SOLVER.BASE_LR": 1e20, "SOLVER.WARMUP_ITERS": 0}
    assert train_net.main(arguments(tmp_path / "o", **fast)) == 2
    assert_says(capsys.readouterr().err, "The losses of ImbRetinaNet are not finite in iteration 1")
    file = Incident.path(tmp_path / "o" / "watch", 1, 0)
    assert imbdet.cli.main(["replay", str(file)]) == 0
    out = capsys.readouterr().out
    assert_says(out, "Samples that are not finite, 20 of", "the same to the last bit")


def with_another_class(values):
    values["inputs"][0]["instances"].gt_classes += 1000


def with_boxes_of_others(values):
    values["inputs"][0]["instances"]._fields["gt_boxes"] = Boxes(torch.zeros(1000, 4))


DAMAGES = [
    (lambda values: values["inputs"][0].update(image=torch.zeros(1, 2, 3)), "state of inputs"),
    (lambda values: values["inputs"][0].update(instances="none"), "state of inputs"),
    (with_another_class, "state of inputs"),
    (with_boxes_of_others, "state of inputs"),
    (lambda values: values["samples"].pop("box"), "state of samples"),
    (lambda values: values["samples"].update(iou=torch.zeros(2, 2)), "state of samples"),
    (lambda values: values["buffers"].update(pixel_mean=torch.zeros(7)), "state of buffers"),
    (lambda values: values["random_states"].update(python=(3, (), None)), "state of random"),
]


@pytest.mark.usefixtures("restored_loggers")
def test_what_no_training_wrote_is_not_repeated(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    fast = {"SOLVER.BASE_LR": 1e20, "SOLVER.WARMUP_ITERS": 0}
    assert train_net.main(arguments(tmp_path / "o", **fast)) == 2
    file = Incident.path(tmp_path / "o" / "watch", 1, 0)
    for damage, words in DAMAGES:
        values = vars(Incident.load(file)).copy()
        damage(values)
        torch.save(values, file.parent / "damaged.pth")
        capsys.readouterr()
        assert imbdet.cli.main(["replay", str(file.parent / "damaged.pth")]) == 2
        assert_says(capsys.readouterr().err, "damaged.pth' cannot be repeated", words)


def test_every_kind_of_annotation_is_read_back(tmp_path):
    instances = Instances((32, 48))
    instances.gt_boxes = Boxes(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    instances.gt_classes = torch.tensor([2])
    instances.gt_masks = PolygonMasks([[np.array([1.0, 2.0, 3.0, 2.0, 3.0, 4.0])]])
    instances.gt_bits = BitMasks(torch.ones(1, 32, 48, dtype=torch.bool))
    instances.gt_keypoints = Keypoints(torch.ones(1, 17, 3))
    image = {"image": torch.zeros(3, 32, 48, dtype=torch.uint8), "instances": instances}
    incident = Incident(3, 0, 1, "why", {}, {}, [image], "", False, get_random_states(), {})
    incident.save(tmp_path)
    (found,) = Incident.load(Incident.path(tmp_path, 3, 0)).inputs
    assert found["instances"].image_size == (32, 48)
    assert set(found["instances"].get_fields()) == set(instances.get_fields())
    assert found["instances"].gt_masks.polygons[0][0].tolist() == [1, 2, 3, 2, 3, 4]


def test_what_the_data_say_of_an_image_is_read_back(tmp_path):
    truth = GroundTruth(
        (32, 48),
        regions=Boxes(torch.tensor([[1.0, 2.0, 3.0, 4.0]])),
        image_weight=0.5,
        gt_boxes=Boxes(torch.tensor([[5.0, 6.0, 7.0, 8.0]])),
        gt_weights=torch.tensor([2.0]),
    )
    inputs = [{"instances": truth}]
    incident = Incident(3, 0, 1, "why", {}, {}, inputs, "", False, get_random_states(), {})
    incident.save(tmp_path)
    (image,) = Incident.load(Incident.path(tmp_path, 3, 0)).inputs
    found = image["instances"]
    assert found.regions.tensor.tolist() == [[1, 2, 3, 4]]
    assert found.image_weight == 0.5
    assert found.gt_weights.tolist() == [2]


@pytest.mark.parametrize("content", [b"", b"no incident"])
def test_another_file_is_refused(content, tmp_path, capsys):
    (tmp_path / "x.pth").write_bytes(content)
    assert imbdet.cli.main(["replay", str(tmp_path / "x.pth")]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert imbdet.cli.main(["replay", str(tmp_path / "y.pth")]) == 2
    assert "No such file" in capsys.readouterr().err
