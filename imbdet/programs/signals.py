"""Signals that ask a program to end: none is lost, and the end comes in time.

Python turns a signal into an exception wherever the main thread is. In a destructor, in a callback
of the import system, or in a library that catches everything, such an exception is lost, and in a
long call of compiled code it is not raised at all. So a thread listens as well: it has the
exception raised again until it has arrived, and ends the process itself if that takes too long.
"""

import atexit
import contextlib
import os
import select
import shutil
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from imbdet.files import remove_drafts

# Signals that ask a program to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Seconds that a program has to end in order.
PATIENCE = 3.0
# Seconds after which a lost exception is raised again.
_TICK = 0.1
# Byte that ends the thread; no signal has this number.
_OVER = b"\0"

Handler = Callable[[int, FrameType | None], Any]


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end, and it does so in order.

    Args:
        number: number of the signal.
        message: a sentence for the user.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def hearing(handler: Handler) -> Iterator[None]:
    """Have ``handler(number, frame)`` called for each of ``SIGNALS`` until the end of the block.

    Ignored signals stay ignored: shells ask for that when a program runs in the background, so that
    a Ctrl-C for another program does not end it. Outside the main thread, where Python handles no
    signals, nothing changes.
    """
    heard = [n for n in SIGNALS if _is_main_thread() and signal.getsignal(n) is not signal.SIG_IGN]
    earlier = {number: signal.signal(number, handler) for number in heard}
    try:
        # The program that started this process may have blocked them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
        yield
    finally:
        for number, earlier_handler in earlier.items():
            signal.signal(number, earlier_handler)


@contextlib.contextmanager
def holding_back() -> Iterator[None]:
    """Delay signals until the end of the block, in processes that it starts until ``hearing``."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


@contextlib.contextmanager
def passing_on(send: Callable[[int], None]) -> Iterator[list[int]]:
    """Pass signals on to processes that are waited for; yield the numbers of those that came.

    Args:
        send: function that sends a signal to all processes that have started.
    """
    received: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        received.append(number)
        send(number)

    with hearing(pass_on):
        yield received


def stop(number: int, message: str = "") -> None:
    """Raise Stopped, again and again until it arrives at the :class:`Listener` of the program.

    Args:
        number: number of the signal.
        message: a sentence for the user.
    """
    if not _listeners:
        raise Stopped(number, message)
    _listeners[-1].stop(number, message)


class Listener:
    """A context in which signals stop the program.

    Attributes:
        number: number of the signal that stopped it; 0 = none.
        message: a sentence for the user.
    """

    def __init__(self) -> None:
        self.number = 0
        self.message = ""
        self._process = os.getpid()
        self._raised: Callable[[], Stopped | None] = lambda: None
        self._has_arrived = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "Listener":
        if _is_main_thread():
            self._stack.enter_context(self._thread())
            self._stack.enter_context(_silent_losses())
            _listeners.append(self)
            self._stack.callback(_listeners.remove, self)
            self._stack.enter_context(hearing(self.on_signal))
        return self

    def __exit__(self, *exception: object) -> None:
        self._has_arrived = True
        self._stack.close()

    def arrive(self) -> None:
        """Raise nothing any more: the program has ended, or is about to."""
        self._has_arrived = True

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if os.getpid() == self._process:
            self.stop(number)
        elif number != signal.SIGINT:  # a forked process, which a Ctrl-C reaches as well
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def stop(self, number: int, message: str = "") -> None:
        """Raise Stopped, unless it is raised already and on its way."""
        if self.number == 0:
            self.number, self.message = number, message
            for each in SIGNALS:  # from now on each of them stops
                if signal.getsignal(each) is not signal.SIG_IGN:
                    signal.signal(each, self.on_signal)
            os.write(self._writer, bytes([number]))
        if self._has_arrived or self._raised() is not None:
            return
        stopped = Stopped(self.number, self.message)
        self._raised = weakref.ref(stopped)
        try:
            raise stopped
        finally:
            del stopped  # its traceback has this frame: no other reference may keep it

    @contextlib.contextmanager
    def _thread(self) -> Iterator[None]:
        """Run the thread that receives signals while the main thread is busy."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        earlier = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(earlier)
            os.write(self._writer, _OVER)
            thread.join()
            os.close(self._reader)
            os.close(self._writer)

    def _listen(self) -> None:
        number = self._wait_for_stop()
        deadline = time.monotonic() + PATIENCE
        while number and time.monotonic() < deadline:
            if self._is_over():
                return
            if not self._has_arrived and self._raised() is None:
                # The exception was lost, or not raised yet.
                main_thread = threading.main_thread().ident
                assert main_thread is not None  # it has begun
                signal.pthread_kill(main_thread, number)
        if number:
            _end_now(number, self.message)

    def _wait_for_stop(self) -> int:
        """Wait for a signal that stops the program, and return its number; 0 if it has ended."""
        while True:
            number = os.read(self._reader, 1)[0]
            is_ours = number in SIGNALS and signal.getsignal(number) == self.on_signal
            if number == _OVER[0] or self.number or is_ours:
                return number and (self.number or number)

    def _is_over(self) -> bool:
        time.sleep(_TICK)
        is_readable = select.select([self._reader], [], [], 0)[0]
        return bool(is_readable) and _OVER in os.read(self._reader, select.PIPE_BUF)


_listeners: list[Listener] = []


@contextlib.contextmanager
def _silent_losses() -> Iterator[None]:
    """Report nothing about a Stopped that was lost."""
    earlier = sys.unraisablehook

    def hook(lost: Any) -> None:
        if not isinstance(lost.exc_value, Stopped):
            earlier(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = earlier


def end_at_once_while_exiting() -> None:
    """Have signals end the process at once while Python exits, as exceptions would be lost.

    At the very end of the exit, when Python handles no signals any more, they are ignored.
    """
    atexit.unregister(_end_at_once)
    atexit.register(_end_at_once)


def _end_at_once() -> None:
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end_on_signal)


def _end_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    _end_now(number)


@atexit.register  # the first to be registered comes last
def _ignore() -> None:
    """Ignore signals at the end of the exit, when Python would restore their default: to kill."""
    for number in SIGNALS:
        if signal.getsignal(number) is _end_on_signal:
            signal.signal(number, signal.SIG_IGN)


def _end_now(number: int, message: str = "") -> NoReturn:
    """End this process and those that it started by multiprocessing, from any thread."""
    remove_drafts(of_all_threads=True)
    if "multiprocessing.util" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.kill()
        folder = sys.modules["multiprocessing.util"].get_temp_dir()
        shutil.rmtree(folder, ignore_errors=True)
    # Writing to a full pipe would block. Without a console, there is no standard error.
    if sys.__stderr__ and select.select([], [sys.__stderr__], [], 0)[1]:
        os.write(sys.__stderr__.fileno(), f"Stopped. {message}".rstrip().encode() + b"\n")
    os._exit(128 + number)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _forget_pipe() -> None:
    """Detach a forked process, which lacks the thread, from the pipe of its parent's signals."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_pipe)
