"""Progress: plain lines where no one looks, a bar on a terminal, silence when asked."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mfp.report.progress import CountingProgress, StudyProgress, TrainingProgress

LOSSES = {"loss": 1.25, "loss_rating": 1.0, "loss_hit": 0.5}
SCORES = {"rating": {"r2": 0.123, "rmse": 1.0}, "hit": {"auc": 0.7}, "verdict": {"accuracy": 0.5}}


def train(progress):
    with progress:
        progress.say("[bold]literal[/bold]")
        progress.begin(step=0, total=4, per_epoch=2, batch_size=8)
        for step in (1, 2, 3, 4):
            progress.step(step, LOSSES)
        progress.epoch(2, LOSSES, SCORES, best=True)


def test_without_a_terminal_there_are_plain_lines():
    file = io.StringIO()
    train(TrainingProgress(Console(file=file, width=100)))
    assert file.getvalue().splitlines() == [
        "[bold]literal[/bold]",
        "epoch   2  validation loss 1.2500  rating r2 0.123  hit auc 0.700  verdict accuracy 0.500"
        "  *best",
    ]


def test_on_a_terminal_there_is_a_bar_with_losses_and_eta():
    file = io.StringIO()
    train(TrainingProgress(Console(file=file, width=120, force_terminal=True)))
    shown = file.getvalue()
    assert "4/4" in shown
    assert "rating 1.000" in shown
    assert "ETA" in shown
    assert "\x1b[?25h" in shown  # the cursor is back


def test_the_bar_is_cleared_when_training_fails():
    file = io.StringIO()
    progress = TrainingProgress(Console(file=file, width=120, force_terminal=True))

    def fail():
        with progress:
            progress.begin(step=0, total=4, per_epoch=2, batch_size=8)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")


def test_quiet_is_quiet(capsys):
    train(TrainingProgress(quiet=True))
    with CountingProgress("films", total=3, quiet=True) as progress:
        progress.advance()
    found = capsys.readouterr()
    assert found.out == found.err == ""


def test_a_finished_run_has_no_bar():
    file = io.StringIO()
    progress = TrainingProgress(Console(file=file, force_terminal=True))
    progress.begin(step=4, total=4, per_epoch=2, batch_size=8)
    progress.step(4, LOSSES)
    assert file.getvalue() == ""


def search(progress):
    with progress:
        progress.begin(1, 4, "rating/r2", 0.25)
        progress.epoch(1, 1, 0.125)
        progress.ended(2, 1, 0.5, 3, None, 0.5)
        progress.ended(3, 2, 0.375, 1, "", 0.5)
        progress.ended(4, 3, None, 0, "the loss is nan", 0.5)


def test_a_search_says_a_line_for_each_trial():
    file = io.StringIO()
    search(StudyProgress(Console(file=file, width=100)))
    assert file.getvalue().splitlines() == [
        "trial   1  rating/r2 0.5000  3 epochs  *best",
        "trial   2  rating/r2 0.3750  1 epoch  ended early",
        "trial   3  rating/r2 -  0 epochs  ended early: the loss is nan",
    ]


def test_a_search_on_a_terminal_shows_trials_the_best_and_eta():
    file = io.StringIO()
    search(StudyProgress(Console(file=file, width=120, force_terminal=True)))
    for shown in ("4/4", "best rating/r2 0.5000", "ETA"):
        assert shown in file.getvalue()
