"""Signals that ask a program to end, whatever it does at that moment."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
import weakref

import pytest

from imbdet.files import drafting, replacing
from imbdet.programs.program import run_program
from imbdet.programs.signals import SIGNALS, hearing, passing_on, stop


@pytest.fixture(autouse=True)
def _handlers():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:  # the suite may run in the background, where shells ignore Ctrl-C
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def press(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_in_order(number, capsys):
    assert run_program(lambda: press(number), output="it") == 128 + number
    assert capsys.readouterr().err == "Stopped.\n"
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_handler_may_say_what_to_do(capsys):
    def run():
        with hearing(lambda number, frame: stop(number, "Go on.")):
            press(signal.SIGTERM)

    assert run_program(run, output="it") == 143
    assert capsys.readouterr().err == "Stopped. Go on.\n"


def in_a_destructor(number):
    class Dying:
        def __del__(self):
            press(number)

    Dying()


def in_a_callback_of_the_collector(number):
    class Cyclic:
        pass

    cyclic = Cyclic()
    cyclic.itself = cyclic
    keep = weakref.ref(cyclic, lambda _: press(number))
    del cyclic
    gc.collect()
    assert keep() is None


def where_all_is_caught(number):
    with contextlib.suppress(BaseException):  # as some libraries do at their imports
        press(number)


def where_it_becomes_another(number):
    try:
        press(number)
    except BaseException:
        error = ImportError("numpy.core.multiarray failed to import")
    raise error


LOSSES = [
    in_a_destructor,
    in_a_callback_of_the_collector,
    where_all_is_caught,
    where_it_becomes_another,
]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("lose", LOSSES)
def test_none_is_lost(lose, number, capfd):
    def run():
        lose(number)
        time.sleep(30)

    begin = time.monotonic()
    assert run_program(run, output="it") == 128 + number
    assert time.monotonic() - begin < 25
    assert capfd.readouterr().err == "Stopped.\n"


def test_one_that_was_lost_at_the_very_end_counts(capsys):
    assert run_program(lambda: in_a_destructor(signal.SIGINT), output="it") == 130
    assert capsys.readouterr().err == "Stopped.\n"


def test_a_repeated_signal_does_not_disturb_what_ends_in_order(tmp_path):
    def run():
        try:
            press(signal.SIGINT)
        finally:
            press(signal.SIGINT)
            press(signal.SIGTERM)
            (tmp_path / "in order").touch()

    assert run_program(run, output="it") == 130
    assert (tmp_path / "in order").exists()


def test_what_was_begun_is_removed(tmp_path):
    def run():
        with drafting(tmp_path / "folder") as folder, replacing(tmp_path / "file") as file:
            (folder / "x").touch()
            file.touch()
            where_all_is_caught(signal.SIGTERM)
            time.sleep(30)

    assert run_program(run, output="it") == 143
    assert list(tmp_path.iterdir()) == []


def program(code, **options):
    """A process that runs ``code`` after a definition of ``run``."""
    head = """
    import ctypes, os, signal, sys, time
    from pathlib import Path
    from imbdet.programs import signals
    from imbdet.files import drafting
    from imbdet.programs.program import run_program
    for number in signals.SIGNALS:
        signal.signal(number, signal.default_int_handler)
    signals.PATIENCE = 0.3
    number = signal.SIGTERM
    """
    code = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=200, **options
    )


STUCK = {
    "what ends in order takes too long": """
        try:
            os.kill(os.getpid(), number)
        finally:
            time.sleep(600)
    """,
    "compiled code does not return": """
        mutex = ctypes.create_string_buffer(64)
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
        for _ in range(2):  # the second time it waits for itself
            ctypes.CDLL(None).pthread_mutex_lock(mutex)
    """,
}


@pytest.mark.parametrize("code", STUCK.values(), ids=STUCK.keys())
def test_an_end_that_takes_too_long_is_cut_short(code, tmp_path):
    run = f"""
    import multiprocessing, threading

    def work():
        signal.signal(number, signal.SIG_IGN)
        Path("child").write_text(str(os.getpid()))
        time.sleep(600)

    def run():
        multiprocessing.get_context("fork").Process(target=work, daemon=True).start()
        while not Path("child").exists():
            time.sleep(0.01)
        with drafting(Path("folder").absolute()) as folder:
            {textwrap.indent(textwrap.dedent(code), " " * 12).strip()}

    sys.exit(run_program(run, output="it"))
    """
    result = program(run, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (143, "Stopped.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["child"]
    pid = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{pid}")


def test_a_signal_while_python_exits(tmp_path):
    run = """
    import atexit
    atexit.register(lambda: os.kill(os.getpid(), number))
    status = run_program(lambda: None, output="it")
    atexit.register(lambda: Path("exiting").touch())
    sys.exit(status)
    """
    result = program(run, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (143, "Stopped.\n")
    assert (tmp_path / "exiting").exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_when_python_is_gone(number):
    run = f"""
    raise_it = ctypes.cast(getattr(ctypes.CDLL(None), "raise"), ctypes.c_void_p)
    ctypes.CDLL(None).__cxa_atexit(raise_it, ctypes.c_void_p({number}), None)
    sys.exit(run_program(lambda: print("done"), output="it"))
    """
    result = program(run)
    assert (result.returncode, result.stdout, result.stderr) == (0, "done\n", "")


def test_forked_processes_leave_ctrl_c_to_their_parent():
    run = """
    import multiprocessing

    def work():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)

    def run():
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
        print(process.exitcode)

    sys.exit(run_program(run, output="it"))
    """
    result = program(run)
    assert (result.returncode, result.stdout, result.stderr) == (0, "-15\n", "")


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
    signal.signal(number, signal.SIG_IGN)
    sent = []

    def run():
        with passing_on(sent.append) as received:
            for each in SIGNALS:
                press(each)
        press(number)
        return received

    assert run_program(lambda: len(run()), output="it") == 1
    assert sent == [each for each in SIGNALS if each != number]
    assert signal.getsignal(number) is signal.SIG_IGN
