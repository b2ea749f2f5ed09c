"""Ctrl-C, SIGTERM and SIGHUP, once or twice, end a command with one line and its exit code."""

import signal
import subprocess
import sys

import pytest
from rich.progress import Progress

from fcn_road_seg.cli.interrupt import CODE_VARIABLE
from fcn_road_seg.cli.late_progress import LateProgress

PROGRAM = """
import atexit, os, sys, time
from fcn_road_seg.cli import doctor
from fcn_road_seg.cli.main import main
def interrupt(): os.kill(os.getpid(), int(sys.argv[1]))
def run(args):
    try:
        interrupt()
        time.sleep(60)
    finally:
        interrupt()
        print("cleaned up")
doctor.run = run
atexit.register(interrupt)
sys.exit(main(["doctor"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("variables, code", [({}, 130), ({CODE_VARIABLE: "0"}, 0)])
def test_repeated_signals_end_a_command_once(number, variables, code):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(int(number))],
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path)} | variables,
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert (result.returncode, result.stdout) == (code, "cleaned up\n")
    assert result.stderr == "road_seg doctor: interrupted\n"


def test_an_ignored_signal_stays_ignored():
    """As under nohup."""
    program = "import signal\nfrom fcn_road_seg.cli.interrupt import Interrupt\nInterrupt()\n"
    program += "print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        env={"PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )
    assert result.stdout == "True\n"


@pytest.mark.parametrize("step", ["start", "stop"])
def test_a_signal_while_a_bar_starts_or_stops_waits_for_it(monkeypatch, step):
    """A half-started bar cannot be stopped, and would leave the terminal without a cursor."""
    original, done = getattr(Progress, step), []

    def interrupted(bar: Progress) -> None:
        signal.raise_signal(signal.SIGTERM)
        original(bar)
        done.append(step)

    monkeypatch.setattr(Progress, step, interrupted)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), LateProgress() as bar:
            bar.start()
        assert done == [step] and not bar.live.is_started
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, previous)
