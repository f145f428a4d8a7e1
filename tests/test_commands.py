"""The command lines of the pages are understood by their programs, and the short ones run."""

import inspect
import re
import runpy
import shlex
import sys
import textwrap
from pathlib import Path

import pytest

import imbdet
from imbdet.cli import build_parser, main
from imbdet.config import load_config

ROOT = Path(imbdet.__file__).parents[1]
PAGES = [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("*.md"))]
# Configs of a data set that a reader brings.
EXAMPLES = ("configs/cells.yaml",)


def commands(page):
    """The commands of fenced blocks; an indented line continues the one before."""
    blocks = re.findall(r"^( *)```\w*\n(.*?)^\1```", page.read_text(), re.DOTALL | re.MULTILINE)
    for _, block in blocks:
        for command in re.split(r"\n(?=\S)", textwrap.dedent(block)):
            yield command.replace("\\\n", " ")


COMMAND = re.compile(
    r"""
    (?:\w+=\S+\ )* (?:srun\ )? \.venv/bin/
    (?:
        (imbdet)
        | python\ ((?:(?:benchmarks|datasets|examples|tools)/)?\w+\.py)
        | torchrun\ .*?\ (train_net\.py)
    )
    (?:\ (.*))?
    """,
    re.DOTALL | re.VERBOSE,
)


def program_of(command):
    """The program of a command, a file or "imbdet", and its arguments; None for other lines."""
    match = COMMAND.fullmatch(command.strip())
    if match:
        *programs, arguments = match.groups()
        (program,) = filter(None, programs)
        arguments = shlex.split(arguments or "", comments=True)
        return (
            ("imbdet", ["train", *arguments]) if program == "train_net.py" else (program, arguments)
        )


PARSED = [
    pytest.param(*found, id=f"{page.name}: {command[:60]}")
    for page in PAGES
    for command in commands(page)
    if (found := program_of(command))
]


@pytest.mark.parametrize(("program", "argv"), PARSED)
def test_the_arguments_of_a_command_are_valid(program, argv, monkeypatch):
    assert program == "imbdet" or (ROOT / program).exists()
    if program.startswith("examples/"):
        return  # these have no command line of their own; tests/examples runs them
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [program, *argv])
    if "--print-completion" in argv:
        with pytest.raises(SystemExit, match="0"):
            build_parser().parse_args(argv)
        return
    if program == "imbdet":
        args = build_parser().parse_args(argv)
    else:
        monkeypatch.syspath_prepend(ROOT / Path(program).parent)
        parse_args = runpy.run_path(program)["parse_args"]
        # Some take the arguments, all others find them in sys.argv.
        args = parse_args(*[argv] * len(inspect.signature(parse_args).parameters))
    files = getattr(args, "config_file", [])
    if not {"...", *EXAMPLES} & set(files):
        written = [file for file in files if not file.startswith("output/")]  # by a training
        load_config(*written, opts=getattr(args, "opts", []))


SHORT = [case for case in PARSED if case.values[1][:1] in (["methods"], ["config"])]


@pytest.mark.parametrize(("program", "argv"), SHORT)
def test_short_commands_run(program, argv, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(argv) == 0


def test_each_page_of_the_site_has_a_command():
    for page in ROOT.glob("docs/*.md"):
        starts = (".venv/bin/", "make ")
        assert any(command.startswith(starts) for command in commands(page)), page.name
