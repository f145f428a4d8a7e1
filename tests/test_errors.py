import subprocess
import sys

import pytest

from imbdet.errors import run_program, suggest


def test_suggest_names_the_nearest_options():
    assert suggest("focl", ["giou", "focal"]) == "Did you mean 'focal'?"


def test_suggest_lists_all_options_when_none_is_near():
    assert suggest("xyz", ["focal", "ap"]) == "There are: ap, focal."
    assert suggest("xyz", []) == "There are none."


def test_a_reader_that_has_seen_enough_is_no_bug():
    code = "import sys; from imbdet.errors import run_program; "
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
