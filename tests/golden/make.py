"""Make the golden bundle of the format that is written now: python tests/golden/make.py

Only for a new format: what is here already is never made anew. Run from the repository root.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

# As a run on eight accelerators would: before jax starts.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import numpy as np
from click.testing import CliRunner
from PIL import Image

from mfp import cli, cli_predict, manifest

HERE = Path(__file__).resolve().parent
GOOD, BAD = "a warm and clever joy of a film", "a dull and empty mess of a film"
CONFIG = """
extends = "{configs}/multimodal.toml"
name = "golden"
[data]
table = "films.jsonl"
media = "media"
prepared = "prepared"
image_size = 8
video_frames = 2
split.train_until = "2007-12-31"
split.validation_until = "2009-12-31"
[features]
numbers = ["runtime_minutes", "budget_usd", "release_year", "directors_count"]
texts = ["plot"]
max_tokens = 8
[features.sets]
people = ["directors"]
content = ["genres"]
keywords = []
origin = []
[model]
numbers.hidden = 8
numbers.embedding = "plain"
sets.embedding = 4
text.embedding = 4
text.hidden = 4
image.widths = [4]
image.output = 4
video.hidden = 4
fusion.hidden = [8]
[parallel]
mode = "sharded"
model_devices = 2
shard_at_least = 8
[optimizer]
learning_rate = 0.02
ema = 0.5
[train]
batch_size = 80
epochs = 20
patience = 20
"""


def make_films(folder: Path) -> None:
    """120 films of 2000-2011, good and bad by turns, with their media."""
    rng = np.random.default_rng(0)
    lines = []
    for i in range(120):
        good = i % 2 == 0
        row = {
            "id": f"f{i}",
            "title": f"Film number {i % 7}",
            "release_date": f"{2000 + i // 10}-{1 + i % 12:02d}-15",
            "rating": float(np.clip((8 if good else 4) + rng.normal(0, 0.3), 0, 10)),
            "revenue_usd": float(10 ** (7 + good + rng.normal(0, 0.3))),
            "plot": GOOD if good else BAD,
            "budget_usd": 1e6 * (1 + i),
            "runtime_minutes": 80 + i % 40,
            "genres": ["Drama" if i % 3 else "Comedy"],
            "directors": ["A. Director" if good else "B. Director"],
        }
        if i % 3:
            row["poster"] = f"{i}.png"
            save(folder / "media" / f"{i}.png", rng, (45, 30), 180 if good else 20)
        if i % 4 == 0:
            row["trailer"] = f"clip{i}"
            for j in range(3):
                save(folder / "media" / f"clip{i}" / f"{j}.png", rng, (16, 24), 60 * j)
        lines.append(json.dumps(row))
    (folder / "films.jsonl").write_text("\n".join(lines), encoding="utf-8")


def save(path: Path, rng: np.random.Generator, size: tuple[int, int], shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = rng.integers(0, 60, (*size, 3)) + shade
    Image.fromarray(noise.astype(np.uint8)).save(path)


def run(command, *arguments: str) -> None:
    result = CliRunner().invoke(command, arguments)
    if result.exit_code:
        raise SystemExit(result.output) from result.exception


def main() -> None:
    target = HERE / f"format-{manifest.FORMAT_VERSION}"
    if target.exists():
        raise SystemExit(f"{target}: exists, and is never made anew")
    configs = Path("configs").resolve()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        make_films(Path())
        Path("golden.toml").write_text(CONFIG.format(configs=configs), encoding="utf-8")
        run(cli.main, "train", "--config", "golden.toml", "--run", "run", "--quiet")
        films = [str(HERE / "films.jsonl"), "--media", str(HERE / "media")]
        output = ["--output", "forecasts.jsonl"]
        run(cli_predict.main, "--model", "run/bundle", *films, *output)
        target.mkdir()
        shutil.copytree("run/bundle", target / "bundle")
        shutil.copy("forecasts.jsonl", target)


if __name__ == "__main__":
    main()
