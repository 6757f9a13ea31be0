"""Several processes of one run: who they are, what one does before the others, who has died.

They find each other by `jax.distributed.initialize` and tell each other through its key-value
store. When one dies, the devices of the others may wait for it forever. So a thread of each
process watches the others, and ends its own process:

  one of index 1 or more fell silent for `dead_after` seconds, or any failed: a line that names
      it, exit code DIED
  process 0, which keeps the store, is gone: JAX aborts the others at once (SIGABRT, exit code
      134), and their `witness` names it
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from mfp.config import ConfigError

DIED = 3  # exit code: another process of the run died or failed
_STATUS, _FIRST, _DONE = "mfp/status", "mfp/first", "mfp/done"


class Processes:
    """The processes of a run, seen from one of them."""

    def __init__(self, index: int, count: int):
        self.index, self.count = index, count
        self._turns = 0

    @contextmanager
    def first(self) -> Iterator[None]:
        """Process 0 does what is inside; then the others do, and find it done."""
        self._turns += 1
        key = f"{_FIRST}/{self._turns}"
        if self.index > 0:
            _wait_for(key)
        yield
        if self.index == 0 and self.count > 1:
            _store().key_value_set(key, "done")


ALONE = Processes(0, 1)


@contextmanager
def joined(
    coordinator: str | None, count: int | None, index: int | None, dead_after: int
) -> Iterator[Processes]:
    """Join the other processes of the run, before anything touches a device.

    What is None is detected by JAX under SLURM, Open MPI and Kubernetes and on Cloud TPU.
    Leaving waits for process 0; leaving by an error tells the others, and they stop.

    Args:
      coordinator: HOST:PORT at which the others reach process 0.
      dead_after: seconds of silence after which a process is given up for dead.

    Raises:
      ConfigError: the processes cannot find each other.
    """
    # JAX's preemption service would take SIGTERM for itself: the loop has its own way to stop.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            index,
            # Later than the watch, which names the dead one.
            heartbeat_timeout_seconds=3 * dead_after,
            shutdown_timeout_seconds=3 * dead_after,
        )
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:300]
        raise ConfigError(
            f"--distributed: {reason} Give --coordinator HOST:PORT, --processes N and --process I "
            "to every process, or run them under SLURM or Kubernetes"
        ) from None
    index, count = jax.process_index(), jax.process_count()
    watch, witness = _Watch(index, count, dead_after), _witness(index)
    watch.start()
    try:
        yield Processes(index, count)
    except SystemExit:  # all were asked to stop and do, at the same step
        watch.finish()
        raise
    except BaseException as error:
        if _of_jax(error):  # a collective has lost a process: the watch will know which
            watch.join(dead_after + 3 * watch.interval)
        code = getattr(error, "exit_code", 1)
        watch.fail(str(error) or type(error).__name__, code)
        # At exit JAX would wait for the others, which are stopping without a word to it.
        atexit.register(_exit, code)
        raise
    else:
        watch.finish()
    finally:
        if witness is not None:
            witness.communicate(b"a proper end")


class _Watch(threading.Thread):
    """Tells the others that this process lives; ends it when one of them does not."""

    def __init__(self, index: int, count: int, dead_after: float):
        super().__init__(name="watch", daemon=True)
        self.interval = min(5.0, dead_after / 5)
        self._index, self._count, self._dead_after = index, count, dead_after
        self._others = [i for i in range(count) if i != index]
        self._over = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        now = time.monotonic()
        heard = dict.fromkeys(self._others, ("", now))  # the last news of each, and when
        beat = 0
        while not self._over.wait(self.interval):
            before, now = now, time.monotonic()
            stalled = now - before > self._dead_after / 2  # this process itself was asleep
            beat += 1
            try:
                self._tell(f"alive {beat}")
                news = _read()
            except jax.errors.JaxRuntimeError:
                continue  # process 0 is gone, and JAX is about to end this one
            for i in self._others:
                status = news.get(i, "")
                if status.startswith("failed "):
                    code, reason = status.split(" ", 2)[1:]
                    self._end(f"process {i} of {self._count} ended: {reason}", int(code))
                elif status != heard[i][0] or status == "done" or stalled:
                    heard[i] = (status, now)
                elif now - heard[i][1] > self._dead_after:
                    self._end(
                        f"process {i} of {self._count} is gone: "
                        f"no sign of life for {self._dead_after:g} s"
                    )

    def finish(self) -> None:
        """This process has done its work; wait for process 0 to have done its own."""
        if self._index == 0:
            _store().key_value_set(_DONE, "done")
        else:
            _wait_for(_DONE)
        self._tell("done", last=True)

    def fail(self, reason: str, code: int) -> None:
        """This process cannot go on: the others are told why, and process 0 waits till they know.

        Args:
          code: with which it exits; above 128 it was asked to stop.
        """
        self._tell(f"failed {code} {reason.splitlines()[0][:500]}", last=True)
        end = time.monotonic() + 3 * self.interval
        while self._index == 0 and time.monotonic() < end:
            time.sleep(self.interval / 5)
            if all(not _read().get(i, "").startswith("alive") for i in self._others):
                return

    def _tell(self, status: str, last: bool = False) -> None:
        with self._lock:
            if not self._over.is_set():
                _store().key_value_set(f"{_STATUS}/{self._index}", status, allow_overwrite=True)
            if last:
                self._over.set()

    def _end(self, reason: str, code: int = 1) -> None:
        """End this process, unless it is about to end by the same error or signal itself."""
        asked = code > 128
        if self._over.wait(self._dead_after if asked else self.interval):
            return
        self._tell("stopped", last=True)
        show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a progress bar hides it
        print(
            f"{show_cursor}Error: {reason}. Process {self._index} stops too; run the same command "
            "for all processes to resume from the last checkpoint.",
            file=sys.stderr,
        )
        _exit(code if asked else DIED)


def _witness(index: int) -> subprocess.Popen | None:
    """The process that tells of the end of process 0."""
    address = jax._src.distributed.global_state.coordinator_address
    if index == 0 or not address:
        return None
    command = [sys.executable, "-m", "mfp.training.witness", *address.rsplit(":", 1), str(index)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def _of_jax(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, came from a computation."""
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _store() -> Any:
    """JAX's key-value store of the run. It has no public name; Orbax reaches it so too."""
    return jax._src.distributed.global_state.client


def _read() -> dict[int, str]:
    """The status of each process that has told one."""
    return {int(k.rsplit("/", 1)[1]): v for k, v in _store().key_value_dir_get(_STATUS)}


def _wait_for(key: str) -> None:
    while True:
        try:
            _store().blocking_key_value_get(key, 10_000)
        except jax.errors.JaxRuntimeError as error:
            if "DEADLINE_EXCEEDED" not in str(error):
                raise
        else:
            return


def _exit(code: int) -> None:
    """End the process without waiting for anyone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
