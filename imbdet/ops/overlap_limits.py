"""From which IoU on boxes are of one place, and below which they have nothing to do with it."""

# Below it a box is background to an object. Bolya et al., "TIDE", ECCV 2020, sec. 2.2: t_b.
BACKGROUND_IOU = 0.1

# From it on two boxes are at one place, as for AP50.
SAME_IOU = 0.5
