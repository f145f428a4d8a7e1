"""Data sets as they lie on the disk, in COCO's form and in Pascal VOC's: no torch is needed."""
