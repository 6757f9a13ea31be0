"""The table of films: TF-IDF equals scikit-learn's, numbers of every group, names once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

from mfp.data.batches import film_arrays
from mfp.data.fit import fit
from mfp.training import design
from mfp.training.design import Design


@pytest.fixture(scope="module")
def titled(debug_config, few):
    spec = fit(few.splits["train"], debug_config)
    return spec, {s: film_arrays(f, spec, debug_config.targets) for s, f in few.splits.items()}


def test_words_are_scikit_learns_tf_idf_fitted_on_training_films(titled):
    spec, splits = titled
    counts = {}
    for name, films in splits.items():
        ids = films.columns["texts/title"]
        whole = np.zeros((len(ids), spec.texts["title"].size))
        for row, words in enumerate(ids):
            for word in words[words > 0]:
                whole[row, word] += 1
        counts[name] = sparse.csr_matrix(whole)
    expected = TfidfTransformer(sublinear_tf=True).fit(counts["train"])
    table = Design.fit(spec, splits["train"]).table(splits["test"])
    np.testing.assert_allclose(
        table.words.toarray(), expected.transform(counts["test"]).toarray(), atol=1e-6
    )


def test_numbers_of_every_group_are_read_and_unknown_ones_are_nan(titled):
    spec, splits = titled
    films = splits["test"]
    values = np.arange(2.0 * len(films), dtype=np.float32).reshape(-1, 2)
    known = np.ones_like(values)
    known[3, 1] = 0
    columns = {**films.columns, "history/values": values, "history/known": known}
    columns["bare/values"] = values + 1
    table = Design.fit(spec, splits["train"]).table(dataclasses.replace(films, columns=columns))
    history, bare = table.numbers[:, -4:-2], table.numbers[:, -2:]
    np.testing.assert_array_equal(np.isnan(history), known == 0)
    np.testing.assert_array_equal(bare, values + 1)
    numbers = films.columns["numbers/values"]
    np.testing.assert_array_equal(np.nan_to_num(table.numbers[:, :-4]), numbers)
    linear = table.linear.toarray()
    width = table.numbers.shape[1]
    np.testing.assert_array_equal(linear[:, width : 2 * width], ~np.isnan(table.numbers))


def test_a_name_counts_once_and_stands_in_its_field(titled):
    spec, splits = titled
    made = Design.fit(spec, splits["train"])
    table = made.table(splits["train"])
    assert set(np.unique(table.names.data)) == {1}
    for field, place in made.fields_of_names.items():
        for row, ids in enumerate(splits["train"].columns[f"sets/{field}"][:20]):
            expected = np.unique(ids[ids > 0])
            np.testing.assert_array_equal(table.names[row, place].nonzero()[1], expected)


def test_chunks_make_the_same_table(titled, monkeypatch):
    spec, splits = titled
    made = Design.fit(spec, splits["train"])
    whole, linear = made.table(splits["train"]), made.linear(splits["train"])
    monkeypatch.setattr(design, "_CHUNK", 37)
    again = Design.fit(spec, splits["train"])
    table = again.table(splits["train"])
    np.testing.assert_array_equal(table.numbers, whole.numbers)
    assert abs(table.words - whole.words).max() < 1e-7
    assert abs(again.linear(splits["train"]) - linear).max() < 1e-7
    assert abs(whole.linear - linear).max() == 0
