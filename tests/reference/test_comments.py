import pytest

from imbdet.config import load_config
from imbdet.keys import leaves
from imbdet.modeling.sites import SITES
from imbdet.reference.comments import _Source, explain_key

from detectron2.config import get_cfg  # isort: skip  (after imbdet)

OWN_KEYS = sorted(set(dict(leaves(load_config()))) - set(dict(leaves(get_cfg()))))


@pytest.mark.parametrize("key", OWN_KEYS)
def test_every_key_of_imbdet_is_explained(key):
    assert explain_key(key)


def test_a_key_is_explained_by_the_comment_above_it():
    assert explain_key("INPUT.SSD.SIZE") == "Side of the square, in pixels."
    assert explain_key("INPUT.SSD.SATURATION") == explain_key("INPUT.SSD.CONTRAST")  # share it
    # By the comment on its group; and where a function of the module builds the group.
    assert explain_key("MODEL.CARL.BIAS").startswith("Classification-aware regression loss")
    assert explain_key("MODEL.RPN_LOSS.CLS.AP.DELTA") == explain_key("MODEL.CLS_LOSS.AP.DELTA")
    # detectron2's.
    assert "decrease learning rate" in explain_key("SOLVER.STEPS")
    assert explain_key("MODEL.MASK_ON") == ""


@pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
def test_an_empty_name_is_explained_for_each_site(site):
    def about_empty(key):
        return explain_key(key).partition("Empty ")[2]

    assert f'"{site.default_cls_loss}"' in about_empty(f"{site.cls_loss}.NAME")
    assert site.box_reg_loss_type in about_empty(f"{site.box_loss}.NAME")
    for kind in ("POSITIVE", "NEGATIVE"):
        assert f'"{site.default_sampler}" of' in about_empty(f"{site.sampler}.{kind}.NAME")


SOURCE = """
cfg.A = 1  # not above it

# ------
# Two
#   lines. #
cfg.B.C = 2
cfg.B.D = 3

cfg.E = 4

# A group.
cfg.F = _group()

def _group():
    node = CfgNode()
    # Inside.
    node.G = 5
    # Code follows.
    if node.G:
        node.H = 6
    return node

def add(cfg):
    # In a function.
    cfg.I = 7
"""


def test_comments_of_a_source():
    assert dict(_Source(SOURCE).entries()) == {
        "A": "",
        "B.C": "Two lines.",
        "B.D": "Two lines.",
        "E": "",
        "F": "A group.",
        "F.G": "Inside.",
        "I": "In a function.",
    }
