import logging

import pytest
from hypothesis import settings

# A slow machine is no failure.
settings.register_profile("imbdet", deadline=None)
settings.load_profile("imbdet")


@pytest.fixture
def restored_loggers(monkeypatch):
    """For tests of programs, which set up the logs of the whole process."""
    for name in ("detectron2", "fvcore", "imbdet", "py.warnings"):
        logger = logging.getLogger(name)
        for attribute in ("handlers", "level", "propagate"):
            monkeypatch.setattr(logger, attribute, getattr(logger, attribute))
    yield
    logging.captureWarnings(False)
