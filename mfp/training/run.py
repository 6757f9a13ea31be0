"""The run folder: its files, written so that a crash leaves either the old or the new one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mfp import config as configs
from mfp.config import Config, ConfigError
from mfp.data.dataset import Dataset
from mfp.data.features import FeatureSpec


class RunFolder:
    """runs/<name>/: config.json, features.json, checkpoints/, log.jsonl, metrics.json, bundle/."""

    def __init__(self, path: Path):
        self.path = path
        self.config_file = path / "config.json"
        self.features_file = path / "features.json"
        self.checkpoints = path / "checkpoints"
        self.log_file = path / "log.jsonl"
        self.metrics_file = path / "metrics.json"
        self.calibration_file = path / "calibration.json"
        self.bundle = path / "bundle"

    def begin(self, config: Config, dataset: Dataset) -> bool:
        """Claim the folder for this config and data; True if a run is there to be resumed.

        Raises:
          ConfigError: the folder holds a run of another config or of other data.
        """
        if not self.config_file.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            document = {"config": configs.to_json(config), "fingerprint": dataset.fingerprint}
            write_json(self.config_file, document)
            return False
        old, fingerprint = self.read_config()
        changed = configs.differences(old, config)
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
        if not self.log_file.exists():
            return
        kept = []
        for line in self.log_file.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                if line.endswith("\n") and json.loads(line)["step"] <= step:
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue  # a line cut short by a crash
        write_text(self.log_file, "".join(kept))

    def log(self, line: dict[str, Any]) -> None:
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step."""
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
