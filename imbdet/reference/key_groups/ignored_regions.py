"""Keys of regions in which nothing is background."""

from typing import Annotated

from imbdet.methods.options import Range


class Ignored:
    """Regions in which it is not known what is an object: annotations with "ignore".

    Attributes:
        crowds: whether crowds are ignored regions as well. False is detectron2's: it drops them, so
            that anchors and proposals in them are background.
        min_overlap: the share of the area of an anchor or proposal that must lie in an ignored
            region for it to be ignored instead of background.
    """

    crowds: bool = False
    min_overlap: Annotated[float, Range(0, 1, above=True)] = 0.5
