"""The run folder: its files, written so that a crash leaves either the old or the new one."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mfp import config as configs
from mfp.config import Config, ConfigError
from mfp.data.dataset import Dataset
from mfp.data.features import FeatureSpec
from mfp.files import named

# How a run is carried out, not what it is: it may be resumed on other devices.
FREE_KEYS = (
    *(f"parallel.{key}" for key in ("mode", "model_devices", "shard_at_least", "dead_after")),
    *("train.checkpoint_", "train.log_every", "tune."),
)


class BusyError(RuntimeError):
    """Another process works in the run folder."""


class RunFolder:
    """runs/<name>/: config.json, features.json, checkpoints/, metrics.json, bundle/, and the
    records log.jsonl, speed.jsonl and tensorboard/."""

    def __init__(self, path: Path, writer: bool = True):
        """Of several processes one is the `writer` of log, metrics and bundle."""
        self.path, self.writer = path, writer
        self.config_file = path / "config.json"
        self.features_file = path / "features.json"
        self.checkpoints = path / "checkpoints"
        self.log_file = path / "log.jsonl"
        self.speed_file = path / "speed.jsonl"
        self.tensorboard = path / "tensorboard"
        self.metrics_file = path / "metrics.json"
        self.calibration_file = path / "calibration.json"
        self.first_file = path / "first.json"  # of a final fit: metrics of the run it followed
        self.bundle = path / "bundle"
        self._claimed = False
        self._begun = False

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """No other process may train in the folder; the claim ends with the process at the latest.

        Within a claim of the same object it changes nothing. Of several processes of a run the
        writer claims it for all.

        Raises:
          BusyError: another one does.
        """
        if self._claimed or not self.writer:
            yield
            return
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / ".lock"
        with named(path), path.open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    lock.seek(0)
                    raise BusyError(
                        f"{self.path}: another mfp train is at work there ({lock.read().strip()}); "
                        "wait for it, stop it, or choose another folder with --run"
                    ) from None
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise  # else a file system that knows no locks: as if alone
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
            self._claimed = True
            try:
                yield
            finally:
                self._claimed = False

    def begin(self, config: Config, dataset: Dataset) -> bool:
        """Write down this config and data; True if a run is there to be resumed.

        A run may go on with other `parallel` keys, and other intervals of checkpoints and log.

        Raises:
          ConfigError: the folder holds a run of another config or of other data.
        """
        document = {"config": configs.to_json(config), "fingerprint": dataset.fingerprint}
        self._begun = True
        if not self.config_file.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(self.config_file, document)
            return False
        old, fingerprint = self.read_config()
        differences = configs.differences(old, config)
        changed = [line for line in differences if not line.startswith(FREE_KEYS)]
        if changed:
            raise ConfigError(
                f"{self.path}: holds a run of another config ({'; '.join(changed[:5])}); "
                "choose another folder with --run, or remove this one"
            )
        if fingerprint != dataset.fingerprint:
            raise ConfigError(
                f"{self.path}: the films changed since this run began; "
                "choose another folder with --run, or remove this one"
            )
        if differences:
            write_json(self.config_file, document)
        return True

    def read_config(self) -> tuple[Config, str]:
        """The resolved config of the run, and the fingerprint of its data."""
        try:
            document = json.loads(self.config_file.read_text(encoding="utf-8"))
            values, fingerprint = document["config"], str(document["fingerprint"])
        except FileNotFoundError:
            raise ConfigError(f"{self.path}: is not a run folder (no config.json)") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self.config_file}: cannot be read: {error}") from None
        return configs.from_json(values, str(self.config_file)), fingerprint

    def read_features(self) -> FeatureSpec:
        """The fitted features of the run."""
        try:
            return FeatureSpec.from_json(json.loads(self.features_file.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.features_file}: cannot be read: {error}") from None

    def read_calibration(self) -> dict[str, Any]:
        """What `mfp evaluate` fitted on the validation films; empty where it has not yet."""
        try:
            return json.loads(self.calibration_file.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.calibration_file}: cannot be read: {error}") from None

    def truncate_log(self, step: int) -> None:
        """Drop log lines after a step: a resumed run writes them again."""
        if not self.writer or not self.log_file.exists():
            return
        kept = []
        for line in self.log_file.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                if line.endswith("\n") and json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue  # a line cut short by a crash
        write_text(self.log_file, "".join(kept))

    def read_log(self) -> list[dict[str, Any]]:
        """The lines of the log; a line cut short by a crash is left out."""
        found = []
        if self.log_file.exists():
            for line in self.log_file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    found.append(json.loads(line))
        return found

    def read_json(self, name: str, remedy: str) -> Any:
        """One of the run's JSON files. Raises ConfigError, telling the remedy."""
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"{path}: is not there; {remedy}") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}; {remedy}") from None

    def log(self, line: Mapping[str, Any]) -> None:
        self._append(self.log_file, line)

    def log_speed(self, line: Mapping[str, Any]) -> None:
        self._append(self.speed_file, line)

    def _append(self, path: Path, line: Mapping[str, Any]) -> None:
        # A checkpoint in the background makes missing folders anew: where the disk is gone, no log
        # may begin in what it made in the place of the run.
        if self._begun and not self.config_file.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        with named(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step."""
    temporary = path.with_name(f".{path.name}.partial")
    with named(path):
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
