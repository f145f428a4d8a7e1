import numpy as np
import pytest

from imbdet.data.ssd import MinIoURandomCrop, PhotometricDistortion, RandomExpand

from fvcore.transforms.transform import NoOpTransform  # isort: skip  (after imbdet)


def iou(a, b):
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    common = max(x1 - x0, 0) * max(y1 - y0, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(areas) - common)


def crop(min_ious, boxes, size=(60, 40), seed=0):
    """The window of a random crop, or None."""
    np.random.seed(seed)
    image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    boxes = np.array(boxes, dtype=float).reshape(-1, 4)
    t = MinIoURandomCrop(min_ious, min_size=0.3).get_transform(image, boxes)
    return None if isinstance(t, NoOpTransform) else (t.x0, t.y0, t.x0 + t.w, t.y0 + t.h)


def only(min_iou):
    """Minimum IoUs for which the two other modes are not drawn with the seeds of the tests."""
    return (min_iou,) * 100_000


@pytest.mark.parametrize("min_iou", [0.0, 0.1, 0.3, 0.5])
def test_crops_reach_the_minimum_iou(min_iou):
    boxes = [(5, 5, 45, 35), (50, 2, 53, 4)]  # the second would never reach 0.1
    for seed in range(100):
        window = x0, y0, x1, y1 = crop(only(min_iou), boxes, seed=seed)
        assert 0 <= x0 < x1 <= 60
        assert 0 <= y0 < y1 <= 40
        assert x1 - x0 >= 0.3 * 60
        assert y1 - y0 >= 0.3 * 40
        assert 0.5 <= (x1 - x0) / (y1 - y0) <= 2
        assert max(iou(box, window) for box in boxes) >= min_iou
        centres = [((a + c) / 2, (b + d) / 2) for a, b, c, d in boxes]
        assert any(x0 < x < x1 and y0 < y < y1 for x, y in centres)


def test_crops_by_every_mode():
    windows = [crop((0.9,), [(5, 5, 55, 35)], seed=seed) for seed in range(600)]
    cropped = [window for window in windows if window is not None]
    # Three modes, of which 0.9 fails more often than not, and then another one is drawn.
    assert 0.25 < 1 - len(cropped) / len(windows) < 0.55
    assert any(iou(window, (5, 5, 55, 35)) < 0.3 for window in cropped)
    assert any(iou(window, (5, 5, 55, 35)) >= 0.9 for window in cropped)


def test_gives_up_a_minimum_that_no_crop_reaches():
    box = (30, 20, 31, 21)
    windows = [crop((0.9,), [box], seed=seed) for seed in range(40)]
    assert None in windows
    for x0, y0, x1, y1 in filter(None, windows):
        assert x0 <= 30 < 31 <= x1
        assert y0 <= 20 < 21 <= y1


def test_crops_images_without_boxes():
    assert crop(only(0.9), []) is not None


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(40, 1), (1, 40), (1, 1), (300, 20)])
def test_never_crops_to_odd_shapes(size):
    for seed in range(20):
        window = crop((0.1, 0.9), [], size, seed)
        if window is not None:
            x0, y0, x1, y1 = window
            assert 0.5 <= (x1 - x0) / (y1 - y0) <= 2


def test_expands_with_the_mean_colour():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    expand = RandomExpand(4.0, 1.0, fill=[103.53, 116.28, 123.675])
    for seed in range(20):
        np.random.seed(seed)
        transform = expand.get_transform(image)
        canvas = transform.apply_image(image.copy())
        height, width = canvas.shape[:2]
        x0, y0, x1, y1 = transform.apply_box(np.array([[0, 0, 30, 20]])).astype(int)[0]
        assert 20 <= height <= 80
        assert 30 <= width <= 120
        assert width / 30 == pytest.approx(height / 20, abs=1 / 20)
        np.testing.assert_array_equal(canvas[y0:y1, x0:x1], image)
        is_outside = np.ones((height, width), dtype=bool)
        is_outside[y0:y1, x0:x1] = False
        assert (canvas[is_outside] == [104, 116, 124]).all()
        assert not transform.apply_segmentation(np.ones((20, 30), np.uint8))[is_outside].any()


@pytest.mark.parametrize(("ratio", "prob"), [(1.0, 1.0), (4.0, 0.0)])
def test_does_not_expand_on_demand(ratio, prob):
    image = np.full((20, 30, 3), 7, dtype=np.uint8)
    transform = RandomExpand(ratio, prob, fill=[0, 0, 0]).get_transform(image)
    np.testing.assert_array_equal(transform.apply_image(image), image)


def distortions(image, *, brightness=0.0, contrast=1.0, saturation=1.0, hue=0.0):
    """The images that 100 seeds make with fixed factors, each applied or not."""
    distort = PhotometricDistortion(brightness, (contrast,) * 2, (saturation,) * 2, hue)
    results = []
    for seed in range(100):
        np.random.seed(seed)
        results.append(distort.get_transform(image).apply_image(image.copy()))
        assert results[-1].dtype == np.uint8
    return results


def colours(image_colour, **strengths):
    """The different results of one colour."""
    image = np.array([[image_colour]], dtype=np.uint8)
    return {tuple(result[0, 0].tolist()) for result in distortions(image, **strengths)}


def test_leaves_colours_alone_without_strengths():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for result in distortions(image):
        np.testing.assert_array_equal(result, image)


def test_factors_of_colours():
    assert colours((100, 50, 20), contrast=0.5) == {(100, 50, 20), (50, 25, 10)}
    assert colours((200, 50, 20), contrast=2.0) == {(200, 50, 20), (255, 100, 40)}
    # Saturation 1 - 50 / 200 = 0.75 is halved: 200 (1 - 0.375) = 125.
    assert colours((200, 50, 50), saturation=0.5) == {(200, 50, 50), (200, 125, 125)}
    assert colours((200, 50, 50), saturation=2.0) == {(200, 50, 50), (200, 0, 0)}


def test_contrast_comes_before_and_after_saturation():
    # Clipped at 255 first, or after the saturation.
    both = colours((200, 0, 0), contrast=2.0, saturation=0.5)
    assert both == {(200, 0, 0), (255, 0, 0), (200, 100, 100), (255, 128, 128), (255, 200, 200)}


def test_brightness_adds_the_same_to_every_channel():
    results = colours((100, 100, 255), brightness=32.0)
    assert all(red == green and blue == min(255, red + 155) for red, green, blue in results)
    changes = [red - 100 for red, _, _ in results]
    assert -33 <= min(changes) < -25
    assert 25 < max(changes) <= 32


def test_hue_turns_red_by_degrees():
    results = colours((255, 0, 0), hue=18.0)
    # From red, 60 degrees lead to yellow or to magenta; 18 to 255 * 18 / 60 = 76.5.
    assert all(red == 255 and 0 in (green, blue) for red, green, blue in results)
    for channel in (1, 2):
        assert 65 < max(result[channel] for result in results) <= 77


def test_grey_has_no_hue():
    greys = colours((90, 90, 90), hue=18.0, saturation=1.5)
    assert greys == {(90, 90, 90)}
