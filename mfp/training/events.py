"""The records of a run: log.jsonl, which the same run writes the same however often it was
stopped; speed.jsonl, which times it; and both as TensorBoard events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from mfp.training.run import RunFolder


class Events:
    """Open records, cut back to the step that a run resumes after. A context manager."""

    def __init__(self, run: RunFolder, step: int):
        self._run, self._step = run, step
        run.truncate_log(step)

    @cached_property
    def _board(self) -> Any:
        # Half a second to import, and a file that a finished run need not have.
        from tensorboardX import SummaryWriter

        # TensorBoard hides what was written before of later steps.
        return SummaryWriter(str(self._run.tensorboard), purge_step=self._step + 1)

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        if "_board" in self.__dict__:
            self._board.close()

    def log(self, line: Mapping[str, Any]) -> None:
        """A line of losses or scores: {"step", "epoch", name or group of names: number}."""
        self._run.log(line)
        self._draw(line, "train")

    def speed(self, line: Mapping[str, Any]) -> None:
        """A line of `Speed.figures` and other times, which no two runs have the same."""
        self._run.log_speed(line)
        self._draw(line, "speed")

    def flush(self) -> None:
        """Before a checkpoint: nothing of the steps that it holds may be lost."""
        if "_board" in self.__dict__:
            self._board.flush()

    def _draw(self, line: Mapping[str, Any], group: str) -> None:
        for name, value in _flat({k: v for k, v in line.items() if k not in ("step", "epoch")}):
            self._board.add_scalar(name if "/" in name else f"{group}/{name}", value, line["step"])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value
