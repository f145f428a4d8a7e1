"""Keys of the synthetic data set."""

from typing import Annotated

from imbdet.methods.options import Range, Share


class Shapes:
    """The synthetic data set of "shapes_train" and "shapes_val", generated on first use.

    Attributes:
        num_train: number of images of the synthetic data set "shapes_train", which is generated on
            first use. More of them leave the first ones as they are.
        num_val: number of images of the synthetic data sets "shapes_val" and "shapes_test".
        image_size: side of the square images, in pixels.
        object_size: smallest and largest size of an object, the longer side of its box in pixels.
            Sizes in between are log-uniform.
        class_frequencies: how often each class appears in training, relative to the others;
            validation is balanced. One number for each class, in this order: circle, square,
            triangle, star, cross, diamond, pentagon, hexagon.
        objects_per_image: mean number of objects in an image that is not empty.
        clutter_ratio: mean number of look-alikes (clutter, which is not annotated) in relation to
            that of objects. Empty images have clutter, too.
        empty_fraction: share of the images without any object.
        crowd_fraction: share of the objects that are crowds (several, annotated as one).
        label_noise: share of the training objects whose annotated class is replaced by one of the
            others, all equally likely. The annotation file keeps the true one as
            "true_category_id".
        box_noise: share of the training objects whose box is badly placed, and their mask with it.
            The annotation file keeps the true one as "true_bbox".
        box_noise_iou: lowest and highest IoU of these boxes with the true ones, from 0.3 to 1. The
            IoU of each is uniform in between.
        missing_fraction: share of the training objects that are not annotated. The annotation file
            keeps their annotations as "missing" of the image.
        duplicate_fraction: share of the training objects that are annotated twice, the second time
            with a slightly different box. The second annotation has the id of the first as
            "duplicate_of", and its faults.
        duplicate_iou: lowest and highest IoU of both boxes, from 0.3 to 1, uniform in between.
        seed: other seeds are other images.
    """

    num_train: Annotated[int, Range(1, 1_000_000)] = 800
    num_val: Annotated[int, Range(1, 1_000_000)] = 200
    image_size: Annotated[int, Range(32, 2048)] = 192
    object_size: tuple[int, int] = (8, 64)
    class_frequencies: tuple[float, ...] = (100.0, 10.0, 1.0)
    objects_per_image: Annotated[float, Range(1, 100)] = 8.0
    clutter_ratio: Annotated[float, Range(0, 10)] = 0.6
    empty_fraction: Share = 0.05
    crowd_fraction: Share = 0.02
    label_noise: Share = 0.0
    box_noise: Share = 0.0
    box_noise_iou: tuple[float, float] = (0.3, 0.7)
    missing_fraction: Share = 0.0
    duplicate_fraction: Share = 0.0
    duplicate_iou: tuple[float, float] = (0.7, 0.95)
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
