"""Progress on standard error: a bar with ETA, speed and losses; plain lines where no one looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TrainingProgress:
    """The bar of a training run; as a context manager it clears the bar however training ends."""

    def __init__(self, console: Console | None = None, quiet: bool = False):
        self._console = console or Console(stderr=True, quiet=quiet)
        self._bar: Progress | None = None
        self._batch_size = 0

    def say(self, message: str) -> None:
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def counting(self, description: str, total: int) -> CountingProgress:
        """A count of films on the same console."""
        return CountingProgress(description, total, console=self._console)

    def begin(self, step: int, total: int, per_epoch: int, batch_size: int) -> None:
        if step >= total:
            return
        self._batch_size = batch_size
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TextColumn("{task.fields[losses]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            # Without a terminal only the lines of the epochs are printed.
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(
            "", total=total, completed=step, epoch=1, speed="", losses=""
        )
        self._per_epoch = per_epoch
        self._bar.start()

    def step(self, step: int, losses: Mapping[str, float]) -> None:
        if self._bar is None:
            return
        task = self._bar.tasks[self._task]
        speed = f"{task.speed * self._batch_size:,.0f} films/s" if task.speed else ""
        shown = " ".join(f"{name.removeprefix('loss_')} {v:.3f}" for name, v in losses.items())
        epoch = (step - 1) // self._per_epoch + 1
        self._bar.update(self._task, completed=step, losses=shown, speed=speed, epoch=epoch)

    def epoch(
        self,
        epoch: int,
        losses: Mapping[str, float],
        scores: Mapping[str, Mapping[str, float]],
        best: bool,
    ) -> None:
        parts = [f"loss {losses['loss']:.4f}"]
        for name, found in scores.items():
            kind = next(k for k in ("r2", "auc", "accuracy", "rmse") if k in found)
            parts.append(f"{name} {kind} {found[kind]:.3f}")
        self.say(f"epoch {epoch:3d}  validation {'  '.join(parts)}{'  *best' if best else ''}")

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class CountingProgress:
    """A count of films with speed and, where the total is known, an ETA. A context manager."""

    def __init__(
        self,
        description: str,
        total: int | None = None,
        quiet: bool = False,
        console: Console | None = None,
    ):
        console = console or Console(stderr=True, quiet=quiet)
        quiet = quiet or console.quiet
        columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}")]
        columns += [BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        if total is not None:
            columns += [TextColumn("ETA"), TimeRemainingColumn()]
        self._bar = Progress(
            *columns, console=console, transient=True, disable=quiet or not console.is_terminal
        )
        self._task = self._bar.add_task(description, total=total)

    def __enter__(self) -> CountingProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, count: int = 1) -> None:
        self._bar.advance(self._task, count)


class StudyProgress:
    """The bar of a search: trials done, the best so far, ETA, and a line for each trial."""

    def __init__(self, console: Console | None = None, quiet: bool = False):
        self._console = console or Console(stderr=True, quiet=quiet)
        self._bar = Progress(
            TextColumn("trials"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TextColumn("{task.fields[now]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
            speed_estimate_period=7 * 86_400,  # a trial may take hours
        )
        self._task = self._bar.add_task("", best="", now="")

    def say(self, message: str) -> None:
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def begin(self, done: int, total: int, goal: str, best: float | None) -> None:
        """`goal`: the name of the number that is optimised."""
        self._goal = goal
        self._bar.update(self._task, completed=done, total=total, best=self._shown(best))
        self._bar.start()

    def _shown(self, best: float | None) -> str:
        return "" if best is None else f"best {self._goal} {best:.4f}"

    def epoch(self, trial: int, epoch: int, value: float) -> None:
        """A trial's epoch is over."""
        now = f"trial {trial}, epoch {epoch}: {value:.4f}"
        self._bar.update(self._task, now=now)

    def ended(
        self,
        done: int,
        trial: int,
        value: float | None,
        epochs: int,
        pruned: str | None,
        best: float | None,
    ) -> None:
        """A trial is over; `pruned` is why it was not trained to its end, "" for the usual."""
        self._bar.update(self._task, completed=done, now="", best=self._shown(best))
        said = f"trial {trial:3d}  {self._goal} {'-' if value is None else f'{value:.4f}'}"
        said += f"  {epochs} epoch{'' if epochs == 1 else 's'}"
        if pruned is not None:
            said += f"  ended early{f': {pruned}' if pruned else ''}"
        elif value == best:
            said += "  *best"
        self.say(said)

    def __enter__(self) -> StudyProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
