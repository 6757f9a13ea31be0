"""Long runs of `mfp-predict`: which rows are this shard's, how far it has come, where it goes on.

While OUTPUT is written, its rows stand in OUTPUT.partial, and OUTPUT.resume.json says how many
rows of the input these are, to the byte. What was written after that is cut off and made again,
so that a run that is killed and resumed neither loses nor repeats a row.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import IO, Any

import click

from mfp.cli_language import current

SECONDS = 2.0  # between two notes of how far a run has come: so much work is lost at most


@dataclass(frozen=True)
class Shard:
    """Of `count` equal shares of the rows, the one of number `index`, from 1."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        shard = cls(*map(int, match.groups())) if match else cls(0)
        if not 1 <= shard.index <= shard.count:
            raise click.UsageError(f"--shard {text}: write I/N with I from 1 to N, such as 3/8")
        return shard

    def has(self, row: int) -> bool:
        """Whether row `row` of the input, from 0, is of this share."""
        return row % self.count == self.index - 1


@dataclass
class Tally:
    """What has become of the rows of the input until now."""

    rows: int = 0  # read, of any shard
    accepted: int = 0
    rejected: int = 0
    skip: int = 0  # so many rows were dealt with by the run that is resumed
    shard: Shard = field(default_factory=Shard)

    def wants(self) -> bool:
        """Count one more row; whether it is to be served by this run."""
        row = self.rows
        self.rows += 1
        return row >= self.skip and self.shard.has(row)


@dataclass(frozen=True)
class _Mark:
    """So far an output is complete."""

    job: Mapping[str, Any]
    rows: int
    accepted: int
    rejected: int
    bytes: int
    reject_bytes: int


class Journal:
    """The output file of a run, resumed where it was interrupted."""

    def __init__(self, output: str, job: Mapping[str, Any], tally: Tally, rejects: str | None):
        """Args: job: JSON values of all that decides the rows, to compare with."""
        self._output, self._rejects = output, rejects
        self._partial, self._note = f"{output}.partial", f"{output}.resume.json"
        self._job, self._tally = json.loads(json.dumps(job)), tally
        self._mark: _Mark | None = None
        self._written = self._next = 0.0
        self._files: tuple[IO[str], IO[str] | None] | None = None

    def resume(self) -> int:
        """Go on where the last run stopped; the number of rows that are done.

        Raises:
          click.ClickException: that run was another one, or its files have changed since.
        """
        try:
            with open(self._note, encoding="utf-8") as file:
                mark = _Mark(**json.load(file))
        except FileNotFoundError:
            return 0
        except (ValueError, TypeError) as error:
            raise self._refusal(f"is damaged ({error})") from None
        differing = [key for key, value in self._job.items() if mark.job.get(key) != value]
        if differing:
            raise self._refusal(f"belongs to a run with another {differing[0]}")
        sizes = [(self._partial, mark.bytes)]
        if self._rejects is not None:
            sizes.append((self._rejects, mark.reject_bytes))
        for path, size in sizes:
            if not os.path.exists(path) or os.path.getsize(path) < size:
                raise self._refusal(f"does not belong to {path}, which is shorter")
        self._mark = mark
        tally = self._tally
        tally.skip, tally.accepted, tally.rejected = mark.rows, mark.accepted, mark.rejected
        self._written = mark.accepted
        return mark.rows

    def _refusal(self, why: str) -> click.ClickException:
        return click.ClickException(f"{self._note}: {why}; without --resume it begins anew")

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[IO[str], IO[str] | None]]:
        """The files of rows and of rejects, to go on writing; the output takes its name at the end.

        A run that fails keeps what can be resumed, and nothing else; and the earlier output.
        """
        with contextlib.ExitStack() as stack:
            mark, rejects = self._mark, None
            file = stack.enter_context(_from(self._partial, mark.bytes if mark else None))
            if self._rejects is not None:
                size = mark.reject_bytes if mark else None
                rejects = stack.enter_context(_from(self._rejects, size))
            if mark is None:
                _remove(self._note)
            self._files = file, rejects
            try:
                yield self._files
            except BaseException:
                if self._mark is None:
                    _remove(self._partial)
                raise
        os.replace(self._partial, self._output)
        _remove(self._note)

    @property
    def is_resumed(self) -> bool:
        return self._tally.skip > 0

    def wrote_a_row(self) -> None:
        """After each row; notes how far the run has come, where that is certain and it is time."""
        self._written += 1
        # Films are read ahead of their forecasts, a batch at a time. Once all that were accepted
        # have been written, the output is what has become of all the rows that were read.
        if self._written == self._tally.accepted and time.monotonic() >= self._next:
            self._save()
            self._next = time.monotonic() + SECONDS

    def _save(self) -> None:
        assert self._files is not None
        sizes = [_flushed(file) if file is not None else 0 for file in self._files]
        tally = self._tally
        self._mark = _Mark(self._job, tally.rows, tally.accepted, tally.rejected, *sizes)
        temporary = f"{self._note}.partial"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(asdict(self._mark), file)
        os.replace(temporary, self._note)


def _from(path: str, size: int | None) -> IO[str]:
    """A text file to write into, empty or from this byte on."""
    file = open(path, "w" if size is None else "r+", encoding="utf-8", newline="")  # noqa: SIM115
    if size is not None:
        file.truncate(size)
        file.seek(size)
    return file


def _flushed(file: IO[str]) -> int:
    """The size of a file once all of it is on the disk."""
    file.flush()
    os.fsync(file.fileno())
    return os.fstat(file.fileno()).st_size


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.remove(path)


def can_be_resumed(output: str | None) -> bool:
    """Whether an interrupted run has left what --resume goes on from."""
    return output is not None and os.path.exists(f"{output}.resume.json")


def identity(path: str) -> list[Any]:
    """What tells a file of films from another, or from itself after a change."""
    try:
        status = os.stat(path)
    except OSError:
        return [path]  # standard input; or nothing, as whoever reads it will say
    return [os.path.abspath(path), status.st_size, status.st_mtime_ns]


def lines(files: tuple[str, ...]) -> int | None:
    """About how many rows files of films have; None where that cannot be told beforehand."""
    if not files or any(not os.path.isfile(path) or path.endswith(".json") for path in files):
        return None
    count = 0
    for path in files:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                count += chunk.count(b"\n")
    return count


@contextlib.contextmanager
def progress(files: tuple[str, ...], tally: Tally) -> Iterator[Callable[[], None]]:
    """A bar on standard error of how far the files are read; to be called after each row."""
    from mfp.report.progress import CountingProgress

    shown, due = 0, 0.0
    with CountingProgress(current()("forecasting"), lines(files)) as bar:

        def tick() -> None:
            nonlocal shown, due
            if tally.rows > shown and time.monotonic() >= due:
                bar.advance(tally.rows - shown)
                shown, due = tally.rows, time.monotonic() + 0.1

        yield tick
