"""N-gram logistic regression on the reviews of configs/reviews.toml: the rival of its network.

    python tests/benchmarks/reviews_rival.py
    python tests/benchmarks/reviews_rival.py --share 0.5    had there been half the training texts

The same texts, words and splits as the network's; scikit-learn's regression on 1- to 3-grams that
stand in two training texts or more, weighed by TF-IDF, or by their log-count ratio (NBSVM, Wang and
Manning 2012). Its strength is chosen on validation, and the test texts are looked at once.
"""

from __future__ import annotations

import click
import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from mfp import config as configs
from mfp.data import dataset
from mfp.data.text import Preprocessor
from mfp.training.metrics import auc

SPLITS = ("train", "validation", "test")


@click.command(help=__doc__)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
@click.option("--share", default=1.0, show_default=True, help="Of the training texts, at random.")
def main(overrides: tuple[str, ...], share: float) -> None:
    config = configs.load("configs/reviews.toml", overrides)
    splits = dict(dataset.prepare(config.data, click.echo).splits)
    order = np.random.default_rng(config.seed).permutation(len(splits["train"]))
    kept = np.sort(order[: round(share * len(order))])
    splits["train"] = [splits["train"][i] for i in kept]
    words = Preprocessor(config.features.text, ())
    texts = {s: [" ".join(words(film.reviews[0])) for film, _ in splits[s]] for s in SPLITS}
    labels = {s: np.array([outcome.sentiment for _, outcome in splits[s]]) for s in SPLITS}

    counter = CountVectorizer(
        tokenizer=str.split, token_pattern=None, lowercase=False,
        ngram_range=(1, 3), min_df=2, binary=True,
    )  # fmt: skip
    counter.fit(texts["train"])
    counts = {s: counter.transform(texts[s]) for s in SPLITS}
    tfidf = TfidfTransformer(sublinear_tf=True).fit(counts["train"])
    praised = labels["train"] == 1
    p, q = (1 + counts["train"][chosen].sum(axis=0) for chosen in (praised, ~praised))
    ratios = sp.diags(np.asarray(np.log(p / p.sum()) - np.log(q / q.sum())).ravel())
    ways = {
        "TF-IDF": (lambda x: tfidf.transform(x), (1.0, 3.0, 10.0, 30.0)),
        "log-count ratios": (lambda x: x @ ratios, (0.01, 0.03, 0.1, 0.3, 1.0)),
    }
    click.echo(f"{counts['train'].shape[1]:,} n-grams, {len(texts['test']):,} test texts")
    for name, (weigh, strengths) in ways.items():
        inputs = {s: weigh(counts[s]) for s in SPLITS}
        fits = [
            LogisticRegression(C=c, solver="liblinear").fit(inputs["train"], labels["train"])
            for c in strengths
        ]
        scores = [fit.score(inputs["validation"], labels["validation"]) for fit in fits]
        best = fits[int(np.argmax(scores))]
        chance = best.predict_proba(inputs["test"])[:, 1]
        accuracy = best.score(inputs["test"], labels["test"])
        area = auc(labels["test"], chance)
        click.echo(
            f"{name:18s} C {best.C:<5g} validation {max(scores):.4f}   "
            f"test accuracy {accuracy:.4f}   AUC {area:.4f}"
        )


if __name__ == "__main__":
    main()
