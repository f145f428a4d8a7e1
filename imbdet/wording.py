"""Format words and numbers for messages and tables."""

import math
import statistics
import unicodedata
from collections.abc import Sequence

# Categories of control characters, surrogates, and separators of lines and paragraphs.
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
# Bidirectional classes of characters that change the direction of the text after them.
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def printable(text: str) -> str:
    r"""A name in one line that a terminal, a log and a file can show: "a\nb" for a line break."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNPRINTABLE
        or unicodedata.bidirectional(character) in _TURNING
        else character
        for character in text
    )


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 image", "1,200 images"; without ``plural`` the noun takes an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """ "a, b, c", or "a, b, c and 2 more" if there are more names than ``most``."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def averaged(values: Sequence[float | None], *, digits: int) -> str:
    """ "25.4" for one value, "25.4 ± 0.3" (standard deviation) for several; "-" if one is None."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return "-"
    text = f"{statistics.mean(numbers):.{digits}f}"
    return f"{text} ± {statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else text


def shortened(value: object, length: int = 100) -> str:
    """The text of a value, cut off after ``length`` characters."""
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}..."


def percent(share: float) -> str:
    """ "41 %" or "12.5 %" for a share in [0, 1], "-" for NaN; only 0 itself becomes "0 %"."""
    if math.isnan(share):
        return "-"
    if 0 < share < 0.0005:
        return "less than 0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"
