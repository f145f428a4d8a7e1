"""How programs end, and what they do about signals."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from imbdet.program import SIGNALS, Stopped, hearing, run_program


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_reader_that_has_seen_enough_is_no_bug():
    code = "import sys; from imbdet.program import run_program; "
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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_takes_nothing_is_one_sentence(number, capsys):
    def fill():
        raise OSError(number, "It takes nothing")

    assert run_program(fill, output="the folder") == 2
    assert capsys.readouterr().err == "error: It takes nothing: the folder\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_in_order(number, capsys):
    def stop(number, frame):
        raise Stopped(number, "Go on.")

    signal.signal(number, signal.SIG_DFL)
    with hearing(stop):
        assert run_program(lambda: os.kill(os.getpid(), number), output="it") == 128 + number
    assert capsys.readouterr().err == "Stopped. Go on.\n"


@pytest.mark.parametrize("earlier", [signal.SIG_DFL, lambda number, frame: None])
def test_the_earlier_handlers_come_back(earlier):
    for number in SIGNALS:
        signal.signal(number, earlier)

    def fail():
        with hearing(lambda number, frame: None):
            assert all(signal.getsignal(number) is not earlier for number in SIGNALS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert all(signal.getsignal(number) is earlier for number in SIGNALS)


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_ignored_stays_so(number):
    heard = []
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN if each == number else signal.SIG_DFL)
    with hearing(lambda number, frame: heard.append(number)):
        for each in SIGNALS:
            os.kill(os.getpid(), each)
    assert heard == [each for each in SIGNALS if each != number]
    assert signal.getsignal(number) is signal.SIG_IGN
