"""Signals that ask a program to end: none is lost, and the end comes in time.

Python turns a signal into an exception wherever the main thread is. In a destructor, in a callback
of the import system, or in a library that catches everything, such an exception comes to nothing,
and in a long call of compiled code it is not raised at all. So a thread listens as well: it has the
exception raised again until it has arrived, and ends the process itself when that takes too long.
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

# Those that ask a program to end.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Seconds that a program has to end in order.
PATIENCE = 3.0
# Seconds after which an exception that came to nothing is raised again.
_TICK = 0.1
# What the thread reads when it is no longer needed; no signal has this number.
_OVER = b"\0"

Handler = Callable[[int, FrameType | None], Any]


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end, and it does so in order.

    Args:
        number: of the signal.
        message: a sentence for the user.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def hearing(handler: Handler) -> Iterator[None]:
    """Have ``handler(number, frame)`` called for each of ``SIGNALS``; afterwards all is as before.

    What is ignored stays so: shells ask for that where a program runs in the background, so that
    a Ctrl-C that is meant for another does not end it. In another thread than the main one, where
    Python hears no signals, nothing changes.
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
    """Signals wait until the end of the block; in processes that it starts, until they hear."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


@contextlib.contextmanager
def passing_on(send: Callable[[int], None]) -> Iterator[list[int]]:
    """Have signals sent to others, who are waited for. Yields the numbers of those that came.

    Args:
        send: sends a signal to all who are there.
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
        number: of the signal.
        message: a sentence for the user.
    """
    if not _listeners:
        raise Stopped(number, message)
    _listeners[-1].stop(number, message)


class Listener:
    """While it is entered, signals stop the program.

    Attributes:
        number: of the signal that did; 0 = none.
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
        """The program has come to its end, or is on its way there: nothing is raised any more."""
        self._has_arrived = True

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        if os.getpid() == self._process:
            self.stop(number)
        elif number != signal.SIGINT:  # a forked process, which a Ctrl-C reaches as well
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def stop(self, number: int, message: str = "") -> None:
        """Raise Stopped, unless it is raised already and on its way."""
        if self.number == 0:
            self.number, self.message = number, message
            for each in SIGNALS:  # from now on they all mean this
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
        """The thread that hears what the main thread may be too busy to hear."""
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
                # It came to nothing, or was not raised yet.
                main_thread = threading.main_thread().ident
                assert main_thread is not None  # it has begun
                signal.pthread_kill(main_thread, number)
        if number:
            _end_now(number, self.message)

    def _wait_for_stop(self) -> int:
        """Until a signal shall stop the program. Returns its number; 0 if the program is over."""
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
    """Nothing is said of a Stopped that came to nothing."""
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
    """When Python exits, nothing is left to be put in order, and exceptions come to nothing.

    At its very last, when it hears no signals any more, they do nothing.
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
    """When Python is taken down, it would leave signals to the system, which kills with them."""
    for number in SIGNALS:
        if signal.getsignal(number) is _end_on_signal:
            signal.signal(number, signal.SIG_IGN)


def _end_now(number: int, message: str = "") -> NoReturn:
    """End this process and those that it started by multiprocessing, from whatever thread."""
    remove_drafts(of_all_threads=True)
    if "multiprocessing.util" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.kill()
        folder = sys.modules["multiprocessing.util"].get_temp_dir()
        shutil.rmtree(folder, ignore_errors=True)
    # Whoever writes to a full pipe waits. Where there is no console, there is no such file.
    if sys.__stderr__ and select.select([], [sys.__stderr__], [], 0)[1]:
        os.write(sys.__stderr__.fileno(), f"Stopped. {message}".rstrip().encode() + b"\n")
    os._exit(128 + number)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _forget_pipe() -> None:
    """A forked process has no such thread, and its signals are none of its parent's."""
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_pipe)
