"""Sets up logging: all messages to ``log.txt``, those for people also to the console."""

import logging
import os
import sys

from tqdm import tqdm

from imbdet.engine.progress import at_a_terminal

PYTHON_WARNINGS = "py.warnings"
LOGGERS = ("detectron2", "fvcore", "imbdet", PYTHON_WARNINGS)
# Loggers of detectron2 with the progress of training and evaluation, shown without a terminal.
PROGRESS_LOGGERS = ("detectron2.utils.events", "detectron2.evaluation.evaluator")


def setup_logging(output_dir: str, rank: int) -> None:
    """Log to ``output_dir/log.txt`` (``log.txt.rankN`` elsewhere) and, on rank 0, to the console.

    The console shows imbdet's lines, warnings of detectron2 and fvcore, and their progress where
    standard error is not a terminal. Python's own warnings, which are for developers, go to the
    file only. Handlers of an earlier call are replaced.
    """
    logging.captureWarnings(True)
    name = "log.txt" if rank == 0 else f"log.txt.rank{rank}"
    file = logging.FileHandler(os.path.join(output_dir, name))
    file.setFormatter(
        logging.Formatter("[%(asctime)s] %(name)s %(levelname)s: %(message)s", "%m/%d %H:%M:%S")
    )
    handlers: list[logging.Handler] = [file]
    if rank == 0:
        handlers.append(_ConsoleHandler())
    for logger_name in LOGGERS:
        logger = logging.getLogger(logger_name)
        for old in logger.handlers:
            old.close()
        logger.handlers = handlers
        logger.setLevel(logging.DEBUG)
        logger.propagate = False


class _ConsoleHandler(logging.Handler):
    """Writes above a progress bar rather than through it."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.setFormatter(_ConsoleFormatter())
        self.addFilter(_is_for_people)

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)
        sys.stdout.flush()


class _ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return f"{record.levelname}: {text}" if record.levelno >= logging.WARNING else text


def _is_for_people(record: logging.LogRecord) -> bool:
    # An exception is printed where it ends the program.
    if record.exc_info or record.name == PYTHON_WARNINGS:
        return False
    if record.levelno >= logging.WARNING or record.name.startswith("imbdet"):
        return True
    return record.name in PROGRESS_LOGGERS and not at_a_terminal()
