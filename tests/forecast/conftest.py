import imbdet.compat  # noqa: F401  (before any test module imports detectron2)
