"""The records of a run: log.jsonl, which the same run writes the same however often it was
stopped; speed.jsonl, which times it; and both as TensorBoard events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from mfp.files import named
from mfp.training.run import RunFolder


class Events:
    """Open records, cut back to the step that a run resumes after. A context manager.

    Of several processes only the writer of the run records.
    """

    def __init__(self, run: RunFolder, step: int):
        self._run, self._step = run, step
        if run.writer:
            run.truncate_log(step)

    @cached_property
    def _board(self) -> Any:
        # Half a second to import, and a file that a finished run need not have. The plain writer,
        # for SummaryWriter's thread has no flush: a killed run would lose what it had queued.
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        self._run.tensorboard.mkdir(parents=True, exist_ok=True)
        board = EventsWriter(str(self._run.tensorboard / "events"), f".{self._step}")
        # TensorBoard hides what other files hold of this step and later.
        start = SessionLog(status=SessionLog.START)
        board.write_event(Event(step=self._step + 1, wall_time=time.time(), session_log=start))
        return board

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        if "_board" in self.__dict__:
            with named(self._run.tensorboard):
                self._board.close()

    def log(self, line: Mapping[str, Any]) -> None:
        """A line of losses or scores: {"step", "epoch", name or group of names: number}."""
        if self._run.writer:
            self._run.log(line)
            self._draw(line, "train")

    def speed(self, line: Mapping[str, Any]) -> None:
        """A line of `Speed.figures` and other times, which no two runs have the same."""
        if self._run.writer:
            self._run.log_speed(line)
            self._draw(line, "speed")

    def flush(self) -> None:
        """Before a checkpoint: nothing of the steps that it holds may be lost."""
        if "_board" in self.__dict__:
            with named(self._run.tensorboard):
                self._board.flush()

    def _draw(self, line: Mapping[str, Any], group: str) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        numbers = _flat({k: v for k, v in line.items() if k not in ("step", "epoch")})
        values = [
            Summary.Value(tag=name if "/" in name else f"{group}/{name}", simple_value=number)
            for name, number in numbers
        ]
        summary = Summary(value=values)
        self._board.write_event(Event(step=line["step"], wall_time=time.time(), summary=summary))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield prefix + name, value
