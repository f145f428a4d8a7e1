"""Words and numbers of messages and tables."""

import statistics
from collections.abc import Sequence


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 image", "1,200 images"; without ``plural`` the noun takes an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def averaged(values: Sequence[float | None], *, digits: int) -> str:
    """ "25.4" of one value, "25.4 ± 0.3" of several, with their deviation; "-" if one is None."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return "-"
    text = f"{statistics.mean(numbers):.{digits}f}"
    return f"{text} ± {statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else text


def shortened(value: object, length: int = 100) -> str:
    """The text of a value, cut off where it is longer than a sentence can bear."""
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}..."
