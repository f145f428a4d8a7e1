"""The ends of programs."""

import errno
import subprocess
import sys

import pytest

from imbdet.errors import UserError
from imbdet.programs.program import run_program


def test_a_reader_that_has_seen_enough_is_no_bug():
    code = "import sys; from imbdet.programs.program import run_program; "
    code += "sys.exit(run_program(lambda: print('x' * 1_000_000), output='it'))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_another_broken_pipe_is_a_bug(capfd):
    def fail():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_program(fail, output="it")


def test_a_message_is_one_line_that_rules_no_terminal(capsys):
    def fail():
        raise UserError("a\nb \x1b[31m \udcff é")

    assert run_program(fail, output="it") == 2
    assert capsys.readouterr().err == "error: a b \\x1b[31m \\udcff é\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_takes_nothing_is_one_sentence(number, capsys):
    def fill():
        raise OSError(number, "It takes nothing")

    assert run_program(fill, output="the folder") == 2
    assert capsys.readouterr().err == "error: It takes nothing: the folder\n"
