"""The answer of a program to an input, in a process of its own with limits of time and memory."""

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import failing  # noqa: F401  (imports what each process would need seconds for)

import train_net
from imbdet import cli

PROGRAMS = {"train_net.py": train_net.main, "imbdet": cli.main}

# Limits of a process in seconds, and in bytes beyond those at its start: far more than the small
# detectors need.
MAX_SECONDS = 60.0
MAX_GROWTH = 2 << 30
# Address space is not memory yet; this ends a process that would take the whole machine.
_MAX_ADDRESSES = 16 << 30


@dataclass(frozen=True)
class Try:
    """A program and an input.

    Attributes:
        name: fault of the input, in words.
        argv: the command line; the program first, one of ``PROGRAMS``.
    """

    name: str
    argv: Sequence[str]


@dataclass(frozen=True)
class Answer:
    """The answer of a program.

    Attributes:
        outcome: "accepted"; "sentence", which is a status of 2 and the error in one line;
            "traceback", or any other end; "hang"; "memory".
        text: text that the program printed.
        seconds: seconds that it took.
    """

    outcome: str
    text: str
    seconds: float


def answer_to(attempt: Try, folder: Path) -> Answer:
    """Run the program in a process of its own.

    Args:
        attempt: the program and the input.
        folder: working folder of the process, also for what it prints.
    """
    console = folder / "console.txt"
    start = time.monotonic()
    process = os.fork()
    if process == 0:
        _run(attempt.argv, folder, console)
    is_over, status, usage = 0, 0, None
    while is_over == 0 and time.monotonic() - start < MAX_SECONDS:
        time.sleep(0.005)
        is_over, status, usage = os.wait4(process, os.WNOHANG)
    if is_over == 0:
        os.killpg(process, signal.SIGKILL)
        os.wait4(process, 0)
    seconds = time.monotonic() - start
    text = console.read_text(errors="replace")
    if is_over == 0:
        return Answer("hang", text, seconds)
    growth = usage.ru_maxrss * 1024 - int(console.with_suffix(".start").read_text())
    if growth > MAX_GROWTH or "MemoryError" in text or "can't allocate memory" in text:
        return Answer("memory", text, seconds)
    return Answer(_judge(os.waitstatus_to_exitcode(status), text), text, seconds)


def _judge(status: int, text: str) -> str:
    if "Traceback" in text:
        return "traceback"
    if status == 0:
        return "accepted"
    errors = [line for line in text.splitlines() if "error: " in line]
    return "sentence" if status == 2 and len(errors) == 1 else "traceback"


def _run(argv: Sequence[str], folder: Path, console: Path) -> None:
    """Run the program; this never returns."""
    status = 1
    try:
        os.setsid()  # so that its children end with it
        os.chdir(folder)
        file = os.open(console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(file, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        console.with_suffix(".start").write_text(str(_resident_bytes()))
        resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESSES, _MAX_ADDRESSES))
        program, *arguments = argv
        status = PROGRAMS[program](arguments)
    except SystemExit as end:  # raised by argparse
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
