import math

import numpy as np
import pytest
from PIL import Image

from imbdet.errors import UserError
from imbdet.evaluation import draw_detections
from imbdet.evaluation.detection_pictures import name_pictures
from imbdet.evaluation.marked_images import Mark, class_color, draw_panel
from imbdet.evaluation.thresholds import ScoreThresholds

CATEGORIES = [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}]
CAT_COLOR, DOG_COLOR = class_color(0), class_color(1)
CAT = {"image_id": 1, "category_id": 4, "bbox": [100, 100, 200, 150]}
DOG = {"image_id": 1, "category_id": 9, "bbox": [350, 200, 200, 150]}


class Gallery:
    """Images on the disk and the pictures drawn of them."""

    def __init__(self, folder):
        self.folder = folder
        self.images = []

    def add(self, file_name="a.jpg", size=(640, 480), exif=None):
        path = self.folder / file_name
        path.parent.mkdir(exist_ok=True)
        options = {} if exif is None else {"exif": exif}
        Image.new("RGB", size, (128, 128, 128)).save(path, **options)
        image = {"id": len(self.images) + 1, "file_name": file_name}
        self.images.append({**image, "width": size[0], "height": size[1]})

    def draw(self, annotations=(), detections=(), num_pictures=8):
        return draw_detections(
            {"images": self.images, "categories": CATEGORIES, "annotations": annotations},
            detections,
            image_root=self.folder,
            output_dir=self.folder / "pictures",
            num_pictures=num_pictures,
            thresholds=ScoreThresholds.fixed(0.3),
        )

    def draw_halves(self, annotations=(), detections=()):
        """The ground truth and the detections of the only image, as arrays."""
        (path,) = self.draw(annotations, detections)
        pixels = np.asarray(Image.open(path))
        half = (pixels.shape[1] - 8) // 2
        return pixels[:, :half], pixels[:, -half:]


@pytest.fixture
def gallery(tmp_path):
    return Gallery(tmp_path)


def count(pixels, color):
    return int((pixels == color).all(axis=-1).sum())


def test_each_side_shows_its_own_boxes(gallery):
    gallery.add()
    truth, found = gallery.draw_halves([CAT], [{**DOG, "score": 0.3}, {**CAT, "score": 0.29}])
    outline = 2 * 2 * (200 + 150)
    assert count(truth, CAT_COLOR) > 0.9 * outline
    assert count(found, DOG_COLOR) > 0.9 * outline
    assert count(truth, DOG_COLOR) == count(found, CAT_COLOR) == 0


def test_a_box_lies_where_it_belongs(gallery):
    gallery.add()
    truth, _ = gallery.draw_halves([CAT])
    top = truth.shape[0] - 480  # the line with the title
    rows, columns = (truth == CAT_COLOR).all(axis=-1).nonzero()
    assert (columns.min(), columns.max(), rows.max() - top) == (100, 299, 249)


def test_a_class_has_one_color_on_both_sides(gallery):
    gallery.add()
    truth, found = gallery.draw_halves([CAT, DOG], [{**CAT, "score": 1}, {**DOG, "score": 1}])
    for color in (CAT_COLOR, DOG_COLOR):
        assert min(count(truth, color), count(found, color)) > 1000


def test_crowds_are_dashed(gallery):
    gallery.add()
    plain, _ = gallery.draw_halves([{**CAT, "iscrowd": 0}])
    dashed, _ = gallery.draw_halves([{**CAT, "iscrowd": 1}])
    top = plain.shape[0] - 480
    column = slice(top + 130, top + 240), 100  # a part of the left edge
    assert count(plain[column], CAT_COLOR) == 110
    assert 40 < count(dashed[column], CAT_COLOR) < 70


def test_small_images_are_enlarged_and_large_ones_reduced(gallery):
    gallery.add("small.png", size=(60, 40))
    gallery.add("large.png", size=(4000, 2000))
    small, large = (Image.open(path) for path in gallery.draw())
    assert small.width == 2 * 600 + 8
    assert 400 < small.height < 440
    assert large.width == 2 * 1600 + 8


def test_images_are_turned_by_their_orientation(gallery):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    gallery.add(size=(640, 480), exif=exif)
    assert gallery.draw_halves()[0].shape[1] == 480


@pytest.mark.parametrize("box", [[math.nan, 0, 5, 5], [-50, -50, 900, 900], [639.9, 470, 0, 0]])
def test_odd_boxes_do_no_harm(gallery, box):
    gallery.add()
    gallery.draw([{**CAT, "bbox": box}, {**DOG, "bbox": box, "iscrowd": 1}])


def test_images_with_objects_are_preferred_and_spread(gallery):
    for i in range(10):
        gallery.add(f"{i}.png", size=(40, 30))
    annotations = [{**CAT, "image_id": i} for i in (2, 3, 4, 5, 6, 9)]
    names = [path.name for path in gallery.draw(annotations, num_pictures=3)]
    assert names == ["2.png", "4.png", "8.png"]
    assert len(gallery.draw(annotations, num_pictures=7)) == 7
    assert len(gallery.draw(annotations, num_pictures=50)) == 10
    assert gallery.draw(annotations, num_pictures=0) == []


def test_images_of_one_name_get_pictures_of_their_own(gallery):
    for file_name in ("one/0001.jpg", "two/0001.jpg", "two/0002.jpg"):
        gallery.add(file_name, size=(40, 30))
    assert [path.name for path in gallery.draw()] == ["0001_1.png", "0001_2.png", "0002.png"]


def test_names_of_pictures_are_different():
    stems = ["a_2", "a", "a"]
    images = [{"id": i, "file_name": f"{i}/{stem}.jpg"} for i, stem in enumerate(stems)]
    assert name_pictures(images) == ["a_2_0", "a_1", "a_2"]
    images[0]["id"], images[1]["id"] = 1, 0
    assert name_pictures(images[:2]) == ["a_2", "a"]


def test_labels_keep_apart(gallery):
    gallery.add()
    one, _ = gallery.draw_halves([CAT])
    two, _ = gallery.draw_halves([CAT, CAT])
    # The second label of the same box stands beside the first one and is not hidden by it.
    assert count(two, CAT_COLOR) > count(one, CAT_COLOR) + 200


def test_a_box_without_a_label_is_a_thin_line():
    grey, red = np.full((400, 400, 3), 90, dtype=np.uint8), (255, 0, 0)
    mark = Mark([100, 100, 200, 200], "", red, is_dashed=True)
    panel = np.asarray(draw_panel(grey, [mark], ""))[-400:]
    is_drawn = (panel != 90).any(axis=-1)
    assert is_drawn.sum() == 4 * 199
    assert (panel[is_drawn] == red).all()


def test_a_picture_that_cannot_be_written_is_named(gallery):
    gallery.add()
    (gallery.folder / "pictures").write_text("")
    with pytest.raises(UserError, match=r"pictures/a\.png' cannot be written"):
        gallery.draw()
