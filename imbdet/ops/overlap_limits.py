"""The IoU from which boxes are at one place, and that below which they are background."""

# A box below it is background to an object. Bolya et al., "TIDE", ECCV 2020, sec. 2.2: t_b.
BACKGROUND_IOU = 0.1

# Two boxes from it on are at one place, as for AP50.
SAME_IOU = 0.5
