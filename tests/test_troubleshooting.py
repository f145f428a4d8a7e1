"""The messages that docs/troubleshooting.md explains are those of the programs."""

import ast
import re
from pathlib import Path

import imbdet

ROOT = Path(imbdet.__file__).parents[1]
PAGE = ROOT / "docs" / "troubleshooting.md"


def texts(file):
    """The texts in a source file, with "..." for filled-in values."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else "..." for v in node.values)


def test_every_message_that_the_page_explains_is_in_the_source():
    messages = re.findall(r"\*\*`([^`]+)`\*\*", PAGE.read_text())
    assert len(messages) > 40
    files = [*ROOT.glob("imbdet/**/*.py"), *ROOT.glob("tools/*.py"), ROOT / "train_net.py"]
    # Some quotes come from `repr`.
    source = "\n".join(text for file in files for text in texts(file)).replace("'", "")
    assert [m for m in messages if m.replace("'", "") not in source] == []
