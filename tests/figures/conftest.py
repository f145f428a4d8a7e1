import imbdet.compat  # noqa: F401  (before any test module imports detectron2)
from tests.evaluation.conftest import sample  # noqa: F401  (a fixture)
