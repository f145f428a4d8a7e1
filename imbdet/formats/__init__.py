"""Annotation files of COCO, Pascal VOC and YOLO; no torch is needed."""
