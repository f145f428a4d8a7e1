import pytest

from imbdet.config import load_config
from imbdet.config_files.keys import leaves
from imbdet.modeling.site_keys import SITES
from imbdet.reference.comments import _comments, explain_key, range_of

from detectron2.config import get_cfg  # isort: skip  (after imbdet)

OWN_KEYS = sorted(set(dict(leaves(load_config()))) - set(dict(leaves(get_cfg()))))


@pytest.mark.parametrize("key", OWN_KEYS)
def test_every_key_of_imbdet_is_explained(key):
    text = explain_key(key)
    assert text[0].isupper() or text.startswith(('"', "IoU"))
    assert text.endswith(".")
    assert not text.endswith("..")
    assert "see :" not in text.lower()  # the reader of a key cannot follow such a reference


def test_a_key_is_explained_by_what_is_declared_or_by_the_comment_above_it():
    assert explain_key("INPUT.SSD.SIZE") == "Side of the square, in pixels."
    assert explain_key("MODEL.CLS_LOSS.AP.DELTA").startswith("Half a step's width in logits")
    assert explain_key("MODEL.RPN_LOSS.CLS.AP.DELTA") == explain_key("MODEL.CLS_LOSS.AP.DELTA")
    assert "FOCAL_LOSS_GAMMA instead" in explain_key("MODEL.CLS_LOSS.FOCAL.GAMMA")
    assert range_of("MODEL.CLS_LOSS.AP.DELTA") == "at least 0"
    # detectron2's.
    assert "decrease learning rate" in explain_key("SOLVER.STEPS")
    assert explain_key("MODEL.MASK_ON") == ""
    assert range_of("SOLVER.STEPS") == ""


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.place.name)
def test_an_empty_name_is_explained_for_each_site(site):
    def about_empty(key):
        return explain_key(key).partition("Empty ")[2]

    assert f'"{site.default_cls_loss}"' in about_empty(f"{site.cls_loss}.NAME")
    assert site.box_reg_loss_type in about_empty(f"{site.box_loss}.NAME")
    for kind in ("POSITIVE", "NEGATIVE"):
        assert f'"{site.default_sampler}" of' in about_empty(f"{site.sampler}.{kind}.NAME")


SOURCE = """
_C = CN()
_C.A = 1  # not above it

# ------
# Two
#   lines. #
_C.B.C = 2
_C.B.D = 3

_C.E = 4

# A group.
_C.F = CN()
"""


def test_comments_of_a_source():
    assert dict(_comments(SOURCE)) == {
        "A": "",
        "B.C": "Two lines.",
        "B.D": "Two lines.",
        "E": "",
        "F": "A group.",
    }
