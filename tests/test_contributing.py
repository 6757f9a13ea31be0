"""CONTRIBUTING.md followed: its package is written into a folder, trained with, forecast with."""

from __future__ import annotations

import json
import random
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT

from mfp import cli, cli_predict, extensions
from mfp import config as configs
from mfp.config import ConfigError
from mfp.data import fit as fitting
from mfp.data.features import FeatureSpec
from mfp.film import Film, Outcome
from mfp.forecast import Forecaster
from mfp.manifest import BundleError

GUIDE = ROOT / "CONTRIBUTING.md"
BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^## ", re.MULTILINE)


def write_package(folder: Path) -> None:
    """The files of CONTRIBUTING.md, and what pip makes of the pyproject.toml among them."""
    for name, text in BLOCK.findall(GUIDE.read_text("utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    about = folder / f"toy_films-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (about / "entry_points.txt").write_text("\n".join(lines))


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """As if the package were installed, and gone without a trace afterwards."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n.split(".")[0] == "toy_films"]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy-films")
    write_package(folder)
    return folder


@pytest.fixture
def installed(package: Path) -> Iterator[Path]:
    with importable(package):
        yield package


@dataclass(frozen=True)
class Trained:
    folder: Path

    @property
    def metrics(self) -> dict:
        return json.loads((self.folder / "metrics.json").read_text("utf-8"))

    @property
    def manifest(self) -> dict:
        return json.loads((self.folder / "bundle" / "manifest.json").read_text("utf-8"))


def write_films(folder: Path) -> None:
    """A film a file. What its title counts decides what it earns on its budget."""
    folder.mkdir()
    rng = random.Random(0)
    for i in range(240):
        part = rng.choice((1, 22, 333))
        budget = rng.choice((1e6, 1e7, 1e8))
        row = {
            "id": f"f{i}",
            "title": f"{rng.choice(('Storm', 'Harbour', 'Lantern'))} {part}",
            "release_date": f"{2000 + i % 12}-05-06",
            "budget_usd": budget,
            "rating": round(rng.uniform(4, 8), 1),
            "revenue_usd": budget * len(str(part)),
        }
        (folder / f"{i:03}.json").write_text(json.dumps(row), encoding="utf-8")
    (folder / "bad.json").write_text('{"title": "Bad", "rating": "eleven"}')


def train(package: Path, folder: Path, films: Path, *settings: str) -> Trained:
    common = (
        "data.source=json_folder",
        f"data.table={films}",
        f"data.prepared={films.parent / 'prepared'}",
        "data.split.train_until=2007-12-31",
        "data.split.validation_until=2009-12-31",
        "data.split.test_until=2011-12-31",
        'features.numbers=["budget_usd"]',
        "features.history.fields=[]",
        "targets.hit.loss_weight=0",
        "train.epochs=30",
    )
    arguments = ["train", "--config", str(ROOT / "configs" / "debug.toml"), "--run", str(folder)]
    arguments += ["--quiet", "--compiled", "none"]
    arguments += [part for setting in (*common, *settings) for part in ("--set", setting)]
    with importable(package):
        done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 0, done.output
    return Trained(folder)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "films"
    write_films(folder)
    return folder


@pytest.fixture(scope="module")
def with_encoder(package: Path, films: Path) -> Trained:
    """Trained with the source, the encoder and the target."""
    settings = ("model.text.encoder=neighbours", 'features.texts=["title"]', "features.sets={}")
    return train(package, films.parent / "e", films, *settings, "targets.added.profit=1.0")


@pytest.fixture(scope="module")
def with_modality(package: Path, films: Path) -> Trained:
    """Trained with the source and the modality."""
    settings = ('features.added=["title_shape"]', "features.texts=[]", "features.sets={}")
    return train(package, films.parent / "m", films, *settings)


def test_each_section_fits_on_a_page():
    sections = SECTION.split(GUIDE.read_text("utf-8"))
    assert [s.split("\n")[0] for s in sections[1:5]] == [
        "A source",
        "An encoder",
        "A modality",
        "A target",
    ]
    assert all(len(section.splitlines()) <= 60 for section in sections)


def test_the_source_is_read_with_its_rejects(with_encoder: Trained):
    data = with_encoder.manifest["data"]
    assert data["source"] == "json_folder"
    assert sum(data["films"].values()) == 240


def test_the_encoder_learns_and_its_bundle_needs_no_package(with_encoder: Trained, package: Path):
    assert str(package) not in sys.path
    assert with_encoder.manifest["config"]["model"]["text"]["encoder"] == "neighbours"
    assert with_encoder.metrics["test"]["profit"]["r2"] > 0.5  # only the title tells it
    film = {"title": "Storm 333", "release_date": "2010-05-06", "budget_usd": 1e7}
    (found,) = Forecaster.open(with_encoder.folder / "bundle").predict(
        [Film(title=film["title"], budget_usd=1e7)], explain=True
    )
    assert found.added is not None
    assert found.added["profit"] == pytest.approx(np.log10(3), abs=0.2)
    assert "profit" in found.to_json()["explanation"]["modalities"]["title"]


def test_the_target_is_judged_and_shown(with_encoder: Trained, tmp_path: Path):
    metrics = with_encoder.metrics
    assert set(metrics["test"]["profit"]) >= {"r2", "rmse", "mae", "n"}
    assert "profit" in metrics["baselines"]["ridge"]
    arguments = ["-m", str(with_encoder.folder / "bundle"), "--title", "Storm 333"]
    arguments += ["--budget", "1e7", "--compiled", "none"]
    table = CliRunner().invoke(cli_predict.main, [*arguments, "--format", "table"])
    assert "profit" in table.output, table.output
    page = tmp_path / "page.html"
    rows = CliRunner().invoke(
        cli_predict.main, [*arguments, "--format", "csv", "--report", str(page)]
    )
    header, row = rows.stdout.splitlines()
    assert header.endswith(",profit")
    assert abs(float(row.split(",")[-1]) - np.log10(3)) < 0.2
    assert ">profit</h" in page.read_text("utf-8")


def test_the_modality_is_fitted_fused_and_explained(with_modality: Trained, installed: Path):
    bundle = with_modality.folder / "bundle"
    spec = Forecaster.open(bundle).bundle.spec
    assert spec.modalities == ("numbers", "title_shape")
    assert with_modality.metrics["test"]["revenue"]["r2"] > 0.9
    (short, long) = Forecaster.open(bundle).predict(
        [Film(title=f"Storm {part}", budget_usd=1e7) for part in (1, 333)]
    )
    assert short.revenue_usd is not None
    assert long.revenue_usd is not None
    assert long.revenue_usd > 1.5 * short.revenue_usd


def test_its_state_survives_json_and_a_film_without_it_is_masked(
    with_modality: Trained, installed: Path
):
    values = json.loads((with_modality.folder / "features.json").read_text("utf-8"))
    spec = FeatureSpec.from_json(values)
    assert FeatureSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    arrays = spec.of_film(Film(title="Storm 1"))
    assert arrays["present/title_shape"] == 1
    blank = spec.of_film(Film(title=""))
    assert blank["present/title_shape"] == 0
    assert not blank["added/title_shape/values"].any()


def test_without_its_package_the_error_names_it(with_modality: Trained):
    with pytest.raises(BundleError, match="pip install toy-films"):
        Forecaster.open(with_modality.folder / "bundle")


@pytest.mark.parametrize(
    ("setting", "group"),
    [
        ("data.source=json_foldr", "mfp.sources"),
        ("model.text.encoder=neighbour", "mfp.encoders"),
        ('features.added=["title_shap"]', "mfp.modalities"),
        ("targets.added.profits=1.0", "mfp.targets"),
    ],
)
def test_an_unknown_name_lists_what_there_is_and_how_to_add(
    setting: str, group: str, installed: Path
):
    with pytest.raises(ConfigError, match=f"did you mean.*{group}.*CONTRIBUTING.md"):
        configs.load(ROOT / "configs" / "debug.toml", [setting])


def test_naming_it_runs_no_code_of_the_package(installed: Path):
    configs.load(ROOT / "configs" / "debug.toml", ['features.added=["title_shape"]'])
    assert not any(name.startswith("toy_films") for name in sys.modules)


def other_package(folder: Path, group: str, point: str, code: str) -> None:
    about = folder / "other-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{point}")
    (folder / "other_toy.py").write_text(code)


def test_a_modality_may_not_read_what_is_known_after_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = 'fields = ("vote_count",)\ndef fit(films): return {}\n'
    other_package(tmp_path, "mfp.modalities", "leak = other_toy", code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "other_toy", raising=False)
    config = configs.load(ROOT / "configs" / "debug.toml", ['features.added=["leak"]'])
    films = [(Film(title="A", vote_count=1.0), Outcome(rating=5.0))]
    with pytest.raises(ConfigError, match=r"'leak' reads 'vote_count'.*after release"):
        fitting.fit(films, config)


def test_a_name_that_two_packages_add_is_refused(
    tmp_path: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
):
    other_package(tmp_path, "mfp.targets", "profit = other_toy", "")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="several packages"):
        extensions.load("target", "profit")


def test_a_package_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other_package(tmp_path, "mfp.targets", "broken = other_toy:missing", "")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "other_toy", raising=False)
    with pytest.raises(ConfigError, match="of the package other cannot be loaded"):
        extensions.load("target", "broken")
