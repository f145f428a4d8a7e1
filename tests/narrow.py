"""A backbone for tests in which the detections do not matter."""

# A narrow ResNet-50 takes a quarter of the time of detectron2's ResNet-18, which has one width, and
# its 0.2 million weights make small checkpoints, where those have 11 million.
NARROW = {
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.STEM_OUT_CHANNELS": 8,
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 16,
    "MODEL.RESNETS.WIDTH_PER_GROUP": 4,
}
