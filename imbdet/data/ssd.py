"""Augmentations of SSD's training: distorted colours, expansion and crop.

Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, https://arxiv.org/abs/1512.02325
(sec. 2.2, and 3.6 for the expansion). Probabilities, which the paper does not state, are those of
its published code. Random numbers come from numpy's global generator, which detectron2 seeds in
every worker process.
"""

import functools
from collections.abc import Sequence

import cv2
import numpy as np
from detectron2.data import transforms as T
from detectron2.structures import Boxes, pairwise_iou
from fvcore.transforms.transform import (
    BlendTransform,
    CropTransform,
    NoOpTransform,
    PadTransform,
    Transform,
    TransformList,
)


class PhotometricDistortion(T.Augmentation):
    """Random brightness, contrast, saturation and hue, each with probability 1/2.

    Contrast comes before or after saturation and hue, at random. Images are uint8, BGR or RGB
    alike: an exchange of red and blue mirrors the hues, which are turned both ways equally often.

    Args:
        brightness_delta: largest change of a value in [0, 255].
        contrast: lowest and highest factor of the values.
        saturation: lowest and highest factor of the saturation.
        hue_delta: largest turn of the hue in degrees. (SSD's published code counts in OpenCV's
            8-bit units of two degrees, those of AP loss and aLRP loss in degrees.)
    """

    def __init__(
        self,
        brightness_delta: float,
        contrast: Sequence[float],
        saturation: Sequence[float],
        hue_delta: float,
    ) -> None:
        super().__init__()
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        brightness = self._draw(-self.brightness_delta, self.brightness_delta, neutral=0.0)
        contrast = self._draw(*self.contrast, neutral=1.0)
        saturation = self._draw(*self.saturation, neutral=1.0)
        hue = self._draw(-self.hue_delta, self.hue_delta, neutral=0.0)
        steps = [
            BlendTransform(src_image=0.0, src_weight=0.0, dst_weight=contrast),
            T.ColorTransform(functools.partial(_change_hsv, saturation=saturation, hue=hue)),
        ]
        if self._rand_range() < 0.5:
            steps.reverse()
        return TransformList([BlendTransform(brightness, src_weight=1.0, dst_weight=1.0), *steps])

    def _draw(self, low: float, high: float, *, neutral: float) -> float:
        # Python's float: numpy's would turn the images' float32 into float64.
        return float(self._rand_range(low, high)) if self._rand_range() < 0.5 else neutral


def _change_hsv(image: np.ndarray, *, saturation: float, hue: float) -> np.ndarray:
    # For floats, OpenCV returns the hue in degrees, saturation and value in [0, 1].
    hsv = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0] + hue) % 360
    hsv[..., 1] = np.minimum(hsv[..., 1] * saturation, 1)
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255).astype(np.uint8)


class RandomExpand(T.Augmentation):
    """Put the image somewhere on a larger canvas, which makes the objects smaller.

    Args:
        max_ratio: largest ratio of the canvas's sides to the image's, >= 1.
        prob: probability of an expansion.
        fill: colour of the canvas, one value for each channel.
    """

    def __init__(self, max_ratio: float, prob: float, fill: Sequence[float]) -> None:
        super().__init__()
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> Transform:
        if self._rand_range() >= self.prob:
            return NoOpTransform()
        ratio = self._rand_range(1, self.max_ratio)
        height, width = image.shape[:2]
        margin_x, margin_y = int(width * ratio) - width, int(height * ratio) - height
        x0, y0 = np.random.randint(margin_x + 1), np.random.randint(margin_y + 1)
        return _ColourPadTransform(
            x0, y0, margin_x - x0, margin_y - y0, width, height, pad_value=self.fill
        )


class _ColourPadTransform(PadTransform):
    # fvcore's transform pads all channels with the same value.
    def apply_image(self, img: np.ndarray) -> np.ndarray:
        margins = self.y0, self.y1, self.x0, self.x1
        return cv2.copyMakeBorder(img, *margins, cv2.BORDER_CONSTANT, value=self.pad_value)


class MinIoURandomCrop(T.Augmentation):
    """Crop so that the window has at least a given IoU with an object, or no crop at all.

    A mode is drawn: the whole image, any window, or one of ``min_ious``. A window is accepted if
    the centre of a box lies inside and its IoU with *at least one* box reaches the minimum; without
    boxes every window is accepted. If all tries fail, another mode is drawn.

    The paper's "minimum jaccard overlap with the objects" leaves open with how many. The published
    code of SSD and AP loss requires one. MMDetection, on which that of aLRP loss is built, requires
    all, which hardly ever holds for an image of several objects.

    The mapper drops the boxes whose centre is outside.

    Args:
        min_ious: minimum IoUs, in [0, 1].
        min_size: lowest ratio of a window's sides to the image's, in (0, 1].
    """

    NUM_TRIES = 50

    def __init__(self, min_ious: Sequence[float], min_size: float) -> None:
        super().__init__()
        self._init(locals())

    def get_transform(self, image: np.ndarray, boxes: np.ndarray) -> Transform:
        height, width = image.shape[:2]
        modes = (None, 0.0, *self.min_ious)
        while (min_iou := modes[np.random.randint(len(modes))]) is not None:
            windows = self._draw_windows(height, width)
            accepted = windows[_is_accepted(windows, boxes, min_iou)]
            if len(accepted) > 0:
                x0, y0, x1, y1 = accepted[0]
                return _PlainCropTransform(x0, y0, x1 - x0, y1 - y0, width, height)
        return NoOpTransform()

    def _draw_windows(self, height: int, width: int) -> np.ndarray:
        """(W, 4) int windows, XYXY, at most NUM_TRIES, with aspect ratios in [1/2, 2]."""
        image_size = np.array([width, height])
        sizes = self._rand_range(self.min_size, 1, (self.NUM_TRIES, 2)) * image_size
        sizes = np.maximum(np.rint(sizes).astype(int), 1)
        corners = np.random.randint(image_size - sizes + 1)
        ratios = sizes[:, 0] / sizes[:, 1]
        return np.hstack([corners, corners + sizes])[(ratios >= 0.5) & (ratios <= 2)]


class _PlainCropTransform(CropTransform):
    # fvcore's transform also cuts polygons, which needs another package. Their parts outside the
    # image do not matter: masks are drawn inside boxes or the image.
    apply_polygons = Transform.apply_polygons


def _is_accepted(windows: np.ndarray, boxes: np.ndarray, min_iou: float) -> np.ndarray:
    """(W,) bool, whether each window has a box with enough IoU, and one with its centre inside."""
    if len(boxes) == 0:
        return np.ones(len(windows), dtype=bool)
    ious = pairwise_iou(Boxes(windows), Boxes(boxes)).numpy()  # (W, N)
    return (ious >= min_iou).any(axis=1) & has_centre_inside(boxes, windows).any(axis=1)


def has_centre_inside(boxes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """(..., N) bool, whether the centres of (N, 4) boxes lie inside (..., 4) windows, all XYXY."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    windows = windows[..., None, :]
    return ((centres > windows[..., :2]) & (centres < windows[..., 2:])).all(axis=-1)
