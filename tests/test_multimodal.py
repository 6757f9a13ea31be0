"""Every modality at once, from a table with media to forecasts with some of it missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import compilation
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mfp import cli, cli_predict
from mfp.data import guard

ROOT = Path(__file__).resolve().parent.parent
GOOD, BAD = "a warm and clever joy", "a dull and empty mess"


@pytest.fixture(scope="module", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with compilation.cached(tmp_path_factory):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 films of 2000-2011: good ones have bright posters and glad reviews."""
    folder = tmp_path_factory.mktemp("multimodal")
    (folder / "media").mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for i in range(120):
        good = i % 2 == 0
        row = {
            "id": f"f{i}",
            "title": f"Film number {i % 7}",
            "release_date": f"{2000 + i // 10}-{1 + i % 12:02d}-15",
            "rating": float(np.clip((8 if good else 4) + rng.normal(0, 0.3), 0, 10)),
            "sentiment": int(good),
            "plot": GOOD if good else BAD,
            "reviews": [GOOD if good else BAD, "seen on a Tuesday"][: 1 + i % 2],
            "budget_usd": 1e6 * (1 + i),
            "directors": ["A. Director" if good else "B. Director"],
        }
        if i % 3:
            shade = 200 if good else 40
            Image.new("RGB", (30, 45), (shade, shade, shade)).save(folder / f"media/{i}.png")
            row["poster"] = f"{i}.png"
        if i % 4 == 0:
            frames = folder / f"media/clip{i}"
            frames.mkdir()
            for j in range(3):
                Image.new("RGB", (24, 16), (80 * j, 0, 0)).save(frames / f"{j}.png")
            row["trailer"] = f"clip{i}"
        lines.append(json.dumps(row))
    (folder / "films.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "all.toml").write_text(
        f"""
extends = "{ROOT}/configs/multimodal.toml"
name = "all"
as_of = "post_release"
[data]
table = "{folder}/films.jsonl"
media = "{folder}/media"
prepared = "{folder}/prepared"
image_size = 16
video_frames = 3
split.train_until = "2007-12-31"
split.validation_until = "2009-12-31"
[features]
texts = ["plot", "reviews"]
history.fields = []
max_tokens = 8
text.ngrams = 2
text.text_ngrams = 16
[targets]
sentiment.loss_weight = 1.0
[model]
numbers.hidden = 8
numbers.embedding = "periodic"
text.embedding = 8
text.hidden = 8
image.widths = [8]
image.output = 8
video.hidden = 8
fusion.kind = "attention"
fusion.hidden = [16]
fusion.width = 8
[optimizer]
learning_rate = 0.02
ema = 0.5
[train]
batch_size = 80
epochs = 30
patience = 30
""",
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Path:
    arguments = ["train", "--config", str(folder / "all.toml"), "--run", str(folder / "run")]
    result = CliRunner().invoke(cli.main, [*arguments, "--quiet"])
    assert result.exit_code == 0, result.output
    return folder / "run" / "bundle"


def predict(*arguments: str) -> list[dict]:
    result = CliRunner().invoke(cli_predict.main, list(arguments))
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.slow
def test_it_learns_and_says_what_each_modality_is_worth(folder: Path, bundle: Path):
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    assert metrics["test"]["rating"]["r2"] > 0.5
    assert metrics["test"]["sentiment"]["accuracy"] > 0.9
    result = CliRunner().invoke(cli.main, ["evaluate", str(folder / "run"), "--missing"])
    assert result.exit_code == 0, result.output
    rows = json.loads((folder / "run" / "missing.json").read_text())
    manifest = json.loads((bundle / "manifest.json").read_text())
    modalities = {"numbers", "people", "plot", "reviews", "poster", "trailer"}
    assert set(rows[0]["present"]) == modalities
    assert len(rows) == 2 ** len(modalities)
    assert set(manifest["features"]["images"]) == {"poster"}
    assert (folder / "run" / "missing.png").stat().st_size > 10_000
    assert "poster alone" in result.output
    assert "all but poster" in result.output


@pytest.mark.slow
def test_media_that_cannot_be_used_is_said_and_the_film_is_served(folder: Path, bundle: Path):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    model = ("--model", str(bundle))
    with_poster = predict(*model, "--title", "x", "--poster", str(folder / "media/2.png"))
    without = predict(*model, "--title", "x")
    assert with_poster[0]["rating"] != without[0]["rating"]
    assert "flags" not in with_poster[0]
    broken = predict(*model, "--title", "x", "--poster", str(folder / "broken.png"))
    assert "poster" in broken[0]["flags"][0]
    assert broken[0]["rating"] == without[0]["rating"]
    clip = predict(*model, "--title", "x", "--trailer", str(folder / "media/clip0"))
    assert "flags" not in clip[0]


def media_flags(film: dict) -> list[str]:
    return [f for f in film.get("flags", ()) if f.startswith(("poster: ", "trailer: "))]


@pytest.mark.slow
def test_every_kind_of_part_has_its_reason(folder: Path, bundle: Path, tmp_path: Path):
    two_shades = Image.new("RGB", (30, 45), (40, 40, 40))
    two_shades.paste((220, 220, 220), (0, 0, 15, 45))
    two_shades.save(tmp_path / "poster.png")
    (found,) = predict(
        *("--model", str(bundle), "--title", "x", "--director", "A. Director", "--plot", GOOD),
        *("--review", GOOD, "--review", "seen on a Tuesday", "--budget", "5e6", "--explain"),
        *("--poster", str(tmp_path / "poster.png"), "--trailer", str(folder / "media/clip4")),
    )
    reasons = found["explanation"]
    assert set(reasons["modalities"]) == {
        *("numbers", "people", "plot", "reviews", "poster", "trailer")
    }
    assert {part["field"] for part in reasons["facts"]} == {"budget_usd"}
    assert {part["field"] for part in reasons["members"]} == {"directors"}
    plot = [part for part in reasons["words"] if part["field"] == "plot"]
    assert plot
    assert all(GOOD[part["start"] : part["end"]] == part["text"] for part in plot)
    assert {part["review"] for part in reasons["reviews"]} == {0, 1}
    poster = reasons["regions"]["poster"]
    assert (poster["rows"], poster["columns"]) == (8, 8)
    assert np.array(poster["rating"]).shape == (8, 8)
    assert {frame["index"] for frame in reasons["frames"]["trailer"]} <= {0, 1, 2}


@pytest.mark.slow
def test_a_tables_media_lie_beside_it_unless_a_folder_is_named(folder: Path, bundle: Path):
    table = str(folder / "films.jsonl")
    found = predict("--model", str(bundle), table, "--media", str(folder / "media"))
    assert len(found) == 120
    assert not any(media_flags(film) for film in found)
    lost = predict("--model", str(bundle), table)  # not beside it: served, and said
    assert sum(bool(media_flags(film)) for film in lost) == 80 + 30 - 20


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 5])
def test_the_number_of_decoding_processes_changes_nothing(
    folder: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, workers: int
):
    command = (
        "--model",
        str(bundle),
        str(folder / "films.jsonl"),
        "--media",
        str(folder / "media"),
    )
    expected = predict(*command)
    monkeypatch.setattr(guard, "WORKERS", workers)
    assert predict(*command) == expected


@pytest.mark.slow
def test_reviews_alone_or_with_their_film(folder: Path, bundle: Path, tmp_path: Path):
    model = ("--model", str(bundle))
    good, bad = predict(*model, "--review", GOOD, "--review", BAD)
    assert good["sentiment"] > 0.5 > bad["sentiment"]
    file = tmp_path / "reviews.txt"
    file.write_text(f"{GOOD}\n\n{BAD}\n", encoding="utf-8")
    again = predict(*model, "--reviews-file", str(file))
    assert [film["sentiment"] for film in again] == [good["sentiment"], bad["sentiment"]]
    (one,) = predict(*model, "--title", "x", "--review", GOOD, "--review", GOOD)
    assert one["title"] == "x"
    assert one["sentiment"] > 0.5
