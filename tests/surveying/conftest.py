import imbdet.compat  # noqa: F401  (before any test module imports detectron2)
from tests.data.conftest import toy  # noqa: F401  (a fixture)
