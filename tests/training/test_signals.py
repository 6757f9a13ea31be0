"""Being asked to stop: at once where nothing is lost, noted where the loop must save first."""

# ruff: noqa: PT012, SIM117  (what a block still does after the signal is what is tested)
from __future__ import annotations

import os
import signal
import time

import pytest

from mfp.training import signals
from mfp.training.signals import Interrupted

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGUSR1: 138}


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def given_back():
    before = [signal.getsignal(number) for number in signals.NUMBERS]
    yield
    assert [signal.getsignal(number) for number in signals.NUMBERS] == before


@pytest.mark.parametrize("number", CODES)
def test_a_signal_stops_at_once_with_the_code_a_shell_shows(number):
    reached = []
    with pytest.raises(Interrupted, match=f"stopped by {number.name}$") as caught:
        with signals.stop_at_once():
            send(number)
            reached.append("the line after")
    assert reached == []
    assert (caught.value.number, caught.value.exit_code) == (number, CODES[number])


def test_what_a_library_catches_is_not_this():
    with pytest.raises(Interrupted), signals.stop_at_once():
        try:
            send(signal.SIGTERM)
        except Exception:
            pytest.fail("caught as an Exception")


class Thrown:
    """Sends a signal while Python throws it away, where no exception comes out."""

    def __del__(self):
        send(signal.SIGTERM)


def test_what_python_drops_comes_again(capsys):
    with pytest.raises(Interrupted, match="SIGTERM"), signals.stop_at_once():
        Thrown()
        time.sleep(10)
        pytest.fail("it was lost")
    with pytest.raises(Interrupted, match="SIGTERM"), signals.stop_at_once():
        Thrown()  # and at the very end
    time.sleep(0.1)  # it does not come after all
    assert "Traceback" not in capsys.readouterr().err


def test_other_exceptions_that_python_drops_are_reported_as_before(monkeypatch):
    class Broken:
        def __del__(self):
            raise OSError("in a finalizer")

    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: told.append(what.exc_type))
    with signals.stop_at_once():
        Broken()
    assert told == [OSError]


def test_while_files_are_closed_a_second_signal_changes_nothing():
    closed = []
    with pytest.raises(Interrupted) as caught, signals.stop_at_once():
        try:
            send(signal.SIGUSR1)
        finally:
            send(signal.SIGTERM)
            closed.append("file")
    assert caught.value.number == signal.SIGUSR1
    assert closed == ["file"]


@pytest.mark.parametrize("manner", [signals.stop_at_once, signals.noted])
def test_an_impatient_second_ctrl_c_ends_it(manner):
    with pytest.raises(KeyboardInterrupt), manner():
        try:
            send(signal.SIGTERM)
        finally:
            send(signal.SIGINT)


def test_a_noted_signal_waits_until_it_is_asked_for():
    with pytest.raises(Interrupted, match="SIGUSR1 after step 7; saved"), signals.noted() as asked:
        assert asked.number == 0
        send(signal.SIGUSR1)
        send(signal.SIGTERM)  # the first counts
        assert asked.number == signal.SIGUSR1
        raise Interrupted(asked.number, step=7)


def test_a_noted_signal_that_nobody_asked_for_is_not_lost():
    done = []
    with pytest.raises(Interrupted, match="SIGTERM"), signals.noted():
        send(signal.SIGTERM)
        done.append("all the rest")
    assert done == ["all the rest"]


def test_noted_within_at_once():
    """The command stops at once, but for the loop inside it."""
    reached = []
    with signals.stop_at_once():
        with pytest.raises(Interrupted), signals.noted():
            send(signal.SIGTERM)
            reached.append("noted")
        with pytest.raises(Interrupted):
            send(signal.SIGTERM)
    assert reached == ["noted"]
