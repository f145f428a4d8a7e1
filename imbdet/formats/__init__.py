"""Annotation files of COCO and Pascal VOC; no torch is needed."""
