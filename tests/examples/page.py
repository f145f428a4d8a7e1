"""What docs/drop_in.md shows of the files in examples/."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "drop_in.md"


def example(name: str) -> str:
    """Source of an example."""
    return (ROOT / "examples" / name).read_text()


def block(name: str, language: str) -> str:
    """The first block in a language after the name of an example."""
    text = PAGE.read_text().split(f"`examples/{name}`")[1]
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1]


def hunks(name: str) -> Iterator[tuple[str, str]]:
    """Lines of an example before and after imbdet was added, as the page's diff has them."""
    for hunk in re.split(r"^@@.*\n", block(name, "diff"), flags=re.MULTILINE)[1:]:
        lines = hunk.splitlines(keepends=True)
        before, after = ("".join(x[1:] for x in lines if x[0] != sign) for sign in "+-")
        yield before, after


def without_imbdet(name: str) -> str:
    """Source of an example before imbdet was added."""
    source = example(name)
    for before, after in hunks(name):
        assert source.count(after) == 1, f"{name} does not have:\n{after}"
        source = source.replace(after, before)
    return source
