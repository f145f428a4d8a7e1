"""Trainings with one seed on images of `shapes` that are drawn by the same seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runs import Run, Setting

from imbdet.config import load_config
from imbdet.data.shapes import register_shapes

# isort: split
from detectron2.data import Metadata, MetadataCatalog


@dataclass(frozen=True)
class ShapesTrial:
    """The trainings of one detector with one seed.

    Attributes:
        setting: data and schedule, with `shapes_train` to train on.
        detector: name of the detector's config in the folder of the setting.
        seed: seed of the trainings and of the images.
        opts: overrides of all trainings: KEY, VALUE, KEY, VALUE, ...
        output: parent of the folders of all trials.
    """

    setting: Setting
    detector: str
    seed: int
    opts: Sequence[str]
    output: Path

    @property
    def folder(self) -> Path:
        """Parent of the folders of its trainings."""
        return self.output.resolve() / self.detector / f"seed_{self.seed}"

    @property
    def seeded_opts(self) -> list[str]:
        """The overrides of all trainings with those of the seed."""
        return [*self.opts, "SEED", str(self.seed), "DATASETS.SHAPES.SEED", str(self.seed)]

    def make(self, name: str, overrides: Sequence[str], *, pieces: Sequence[Path] = ()) -> Run:
        """A training in a folder of that name, with the config files of a method."""
        files = [*self.setting.files(self.detector), *pieces]
        return Run(self.setting, files, [*self.seeded_opts, *overrides], self.folder / name)

    def make_on(self, name: str, annotations: Path) -> Run:
        """A training on the same images by other annotations."""
        entry = {"NAME": name, "JSON": str(annotations), "IMAGES": self.shapes().image_root}
        data = ["DATASETS.COCO", str([entry]), "DATASETS.TRAIN", f"('{name}',)"]
        return self.make(name, data)

    def shapes(self) -> Metadata:
        """Metadata of the training images, which are drawn when they are first trained on."""
        files = map(str, self.setting.files(self.detector))
        register_shapes(load_config(*files, opts=self.seeded_opts))
        return MetadataCatalog.get("shapes_train")
