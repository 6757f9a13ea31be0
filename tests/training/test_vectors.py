from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mfp.config import Config
from mfp.training import assemble, loop
from mfp.training.run import RunFolder
from mfp.training.vectors import read_vectors, start_from_vectors
from mfp.typed_toml import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text("3 4\nthe 1 2 3 4\nof -1 -2 -3 -4\nzzz 9 9 9 9\n", encoding="utf-8")
    return path


def test_known_words_keep_their_direction(file: Path):
    found = read_vectors(file, {"the", "of", "man"}, 4)
    assert set(found) == {"the", "of"}
    np.testing.assert_allclose(found["the"] / found["the"][0], [1, 2, 3, 4], rtol=1e-6)
    np.testing.assert_allclose(np.std(np.stack(list(found.values()))), 0.1, rtol=1e-5)


def test_another_width_names_line_and_remedy(file: Path):
    with pytest.raises(ConfigError, match=r"line 2.*set it to 4"):
        read_vectors(file, {"the"}, 8)


def test_a_file_without_any_word_and_no_file_are_errors(file: Path):
    with pytest.raises(ConfigError, match="none of the vocabulary"):
        read_vectors(file, {"absent"}, 4)
    with pytest.raises(ConfigError, match=r"nowhere\.txt"):
        read_vectors(file.with_name("nowhere.txt"), {"the"}, 4)


def test_rows_of_known_words_only_are_replaced(run, file: Path):
    spec, *_ = loop.restore_best(RunFolder(run.path), run.config)
    config: Config = run.config
    text = dataclasses.replace(config.features.text, vectors=str(file))
    features = dataclasses.replace(config.features, text=text)
    network = assemble.build_network(config, spec)
    before = assemble.init_params(network, spec, 0)
    after = start_from_vectors(before, spec, dataclasses.replace(config, features=features))
    ids = {word: i for i, word in spec.texts["title"].words.items()}
    old = np.asarray(before["text_title"]["embedding"]["embedding"])
    new = np.asarray(after["text_title"]["embedding"]["embedding"])
    changed = set(np.flatnonzero((old != new).any(axis=1)).tolist())
    assert changed == {ids["the"], ids["of"]}
    np.testing.assert_allclose(new[ids["of"]], -new[ids["the"]], rtol=1e-6)
    assert start_from_vectors(before, spec, config) is before
