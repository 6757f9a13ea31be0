"""The figures of the README: five seeds beside the rivals, and what each option buys.

    python tests/benchmarks/reproduce.py films                   the bundled films, refitted
    python tests/benchmarks/reproduce.py table FILMS.CSV MEDIA   a table of one's own, with posters
    python tests/benchmarks/reproduce.py reviews                 sentiment of reviews
    python tests/benchmarks/reproduce.py ablation                options, on validation films only

Every run is an ordinary `mfp train` in runs/reproduce; one that is there is not trained again, so
that a command that was stopped goes on. Test films are looked at by `mfp train` and
`mfp evaluate`, once per final model; `ablation` trains on films up to 2004, judges by those of
2005-2009, and reads none after 2010.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np

RUNS = Path("runs/reproduce")
MFP = [sys.executable, "-c", "from mfp.cli import main; main()"]
# (target, metric, how the README calls it)
SCORES = (
    ("rating", "r2", "rating R2"),
    ("rating", "rmse", "rating RMSE"),
    ("revenue", "r2", "log10 box office R2"),
    ("revenue", "rmse", "log10 box office RMSE"),
    ("revenue", "rmsle", "box office RMSLE"),
    ("revenue", "within_factor_two", "box office within a factor of two"),
    ("hit", "auc", "hit AUC"),
    ("sentiment", "accuracy", "sentiment accuracy"),
    ("sentiment", "auc", "sentiment AUC"),
)
BY_OPTION = (("rating", "r2"), ("revenue", "r2"), ("hit", "auc"))
EARLY = (
    "data.split.train_until=2004-12-31",
    "data.split.validation_until=2009-12-31",
    "data.split.test_until=2010-12-31",
)
# Of each table what all its rows have, then what each changes. Process and trees say 70 % of a
# regression: what is of the network is judged without them.
ALONE = ("model.trees.share=0", "model.kernel.share=0")
ABLATION: Mapping[str, tuple[Sequence[str], Mapping[str, Sequence[str]]]] = {
    "as shipped": (
        (),
        {
            "no joint effects": ("features.history.joint=0",),
            "no track records at all": ("features.history.fields=[]",),
            "outcomes as they are, not stationary": ("features.history.stationary=false",),
            "people in any role too": ("features.history.any_role=true",),
            "genres and countries only embedded": ("model.sets.multi_hot=[]",),
            "no boosted trees": ("model.trees.share=0", "model.kernel.share=0.5"),
            "no Gaussian process": ("model.trees.share=0.5", "model.kernel.share=0"),
            "the network alone": ALONE,
            "the Gaussian process alone": ("model.trees.share=0", "model.kernel.share=1"),
            "the boosted trees alone": ("model.trees.share=1", "model.kernel.share=0"),
            "recent films weigh more (20 years)": ("train.recency_half_life_years=20",),
        },
    ),
    "the network alone": (
        ALONE,
        {
            "no joint effects": ("features.history.joint=0",),
            "genres and countries only embedded": ("model.sets.multi_hot=[]",),
            "no people by name": ("features.sets.people=[]",),
            "plain numbers": ("model.numbers.embedding=plain",),
            "piecewise-linear numbers": ("model.numbers.embedding=piecewise",),
            "a perceptron of the numbers": ("model.numbers.hidden=64",),
            "no unknown-token dropout": ("model.sets.unknown_dropout=0",),
            "no dropout of names": ("model.sets.dropout=0",),
            "no dropout of the fused vector": ("model.fusion.dropout=0",),
            "TabM of 8": ("model.fusion.members=8",),
            "BatchEnsemble of 8": ("model.fusion.members=8", "model.fusion.ensemble=batch"),
            "deep ensemble of 4": ("train.ensemble=4",),
            "no parameter averaging": ("optimizer.ema=0",),
            "L1 of 1e-5": ("optimizer.l1=1e-5",),
            "L2 of 1e-4": ("optimizer.l2=1e-4",),
            "ten times the decay for names": ("optimizer.weight_decay_groups.table_=10",),
            "label smoothing 0.1": ("targets.hit.label_smoothing=0.1",),
            "stochastic depth 0.2": (
                "model.fusion.residual=2",
                "model.fusion.stochastic_depth=0.2",
            ),
            "recent films weigh more (20 years)": ("train.recency_half_life_years=20",),
            "losses weighed by uncertainty": ("targets.weighting=uncertainty",),
            "rating alone": ("targets.revenue.loss_weight=0", "targets.hit.loss_weight=0"),
        },
    ),
}


def mfp(*args: str) -> str:
    """What a command prints to standard output; its messages pass through."""
    click.echo(f"mfp {' '.join(args)}", err=True)
    done = subprocess.run([*MFP, *args], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise click.ClickException(f"mfp {args[0]} ended with {done.returncode}")
    return done.stdout


def train(name: str, *args: str) -> Path:
    run = RUNS / name
    if not (run / "metrics.json").exists():
        mfp("train", "--quiet", "--run", str(run), *args)
    return run


def train_all(of_runs: Mapping[str, Sequence[str]], jobs: int) -> list[Path]:
    """`train` of each {name: options}, so many at once."""
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda item: train(item[0], *item[1]), of_runs.items()))


def compared(runs: Sequence[Path], rivals: str, *args: str) -> list[dict[str, Any]]:
    """`mfp evaluate --compare` of runs on the same films, kept beside each.

    Args:
      rivals: a name; they are fitted for the first run, for no seed changes them.
    """
    found = []
    for run in runs:
        kept = run / f"compared{''.join(c for c in ''.join(args) if c.isalnum())}.json"
        if not kept.exists():
            options = ("--rivals", str(RUNS / f"{rivals}.npz"), *args)
            report = mfp("evaluate", str(run), "--compare", "--json", *options)
            kept.write_text(report, encoding="utf-8")
        found.append(json.loads(kept.read_text(encoding="utf-8")))
    return found


def spread(values: Iterable[float]) -> str:
    values = list(values)
    return f"{np.mean(values):7.3f}  {min(values):.3f} to {max(values):.3f}"


def show(reports: Sequence[Mapping[str, Any]]) -> None:
    """Mean and range over the seeds: the network, then each rival and how it compares."""
    click.echo(f"\nmean and range over {len(reports)} seeds, held-out test films\n")
    for target, metric, label in SCORES:
        if metric not in reports[0]["test"].get(target, {}):
            continue
        ours = [report["test"][target] for report in reports]
        click.echo(f"{label}, {ours[0]['n']:,} films")
        click.echo(f"  {'network':26s}{spread(score[metric] for score in ours)}")
        for rival, scores in reports[0]["baselines"].items():
            if metric not in scores.get(target, {}):
                continue
            theirs = spread(r["baselines"][rival][target][metric] for r in reports)
            found = [_difference(report, target, rival, metric) for report in reports]
            click.echo(f"  {rival:26s}{theirs}{_against([f for f in found if f])}")
            if metric == "r2" and (level := _bias_removed(reports, target, rival)):
                click.echo(f"    {'bias of both removed':50s}{level}")
        frozen = [report.get("test_with_frozen_histories", {}).get(target) for report in reports]
        if metric in ("r2", "auc") and all(frozen):
            click.echo(f"  {'network, frozen histories':26s}{spread(f[metric] for f in frozen)}")
    for target in ("rating", "revenue"):
        shares = [report.get("intervals", {}).get(target, {}).get("test") for report in reports]
        if all(shares):
            covered = spread(share["coverage"] for share in shares).strip()
            level = reports[0]["intervals"]["level"]
            click.echo(f"{target}: {level:.0%} intervals cover {covered}")


def _bias_removed(reports: Sequence[Mapping[str, Any]], target: str, rival: str) -> str:
    found = [_difference(report, target, rival, "r2_without_bias") for report in reports]
    return _against([f for f in found if f])


def _difference(report: Mapping[str, Any], target: str, rival: str, metric: str) -> Any:
    by_rival = report.get("comparison", {}).get("differences", {}).get(target, {})
    return by_rival.get(rival, {}).get(metric)


def _against(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return ""
    low, high = (np.mean([f[end] for f in found]) for end in ("low", "high"))
    wins = sum(f["outcome"] == "wins" for f in found)
    return (
        f"   we are {np.mean([f['difference'] for f in found]):+.3f}"
        f" ({low:+.3f} to {high:+.3f}), ahead beyond chance with {wins} of {len(found)} seeds"
    )


@click.group(help=__doc__)
def main() -> None:
    pass


def seeds(count: int) -> Iterable[tuple[int, str]]:
    return ((seed, f"seed={seed}") for seed in range(count))


def _folder(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


_COUNT = click.option("--seeds", "count", default=5, show_default=True)
_JOBS = click.option("--jobs", default=2, show_default=True, help="Trainings at once.")


@main.command()
@_COUNT
@_JOBS
def films(count: int, jobs: int) -> None:
    """The bundled films: train, refit, rivals with the same track records."""
    of_runs = {f"films-{seed}": ("--refit", "--set", setting) for seed, setting in seeds(count)}
    runs = train_all(of_runs, jobs)
    show(compared([run / "refit" for run in runs], "films-rivals", "--refit-rivals"))


@main.command()
@click.argument("table", type=click.Path(exists=True, dir_okay=False))
@click.argument("media", type=click.Path(exists=True, file_okay=False))
@click.option("--where", default="vote_count>=50", show_default=True)
@_COUNT
@_JOBS
def table(table: str, media: str, where: str, count: int, jobs: int) -> None:
    """configs/multimodal.toml on a table of films; rating on those with votes enough."""
    source = ("--config", "configs/multimodal.toml", "--table", table, "--media", media)
    of_runs = {f"table-{seed}": (*source, "--set", setting) for seed, setting in seeds(count)}
    runs = train_all(of_runs, jobs)
    where_they_count = compared(runs, "table-rivals-where", "--where", where)
    show(compared(runs, "table-rivals"))
    click.echo(f"\nonly films with {where}:")
    show(where_they_count)


@main.command()
@_COUNT
@_JOBS
def reviews(count: int, jobs: int) -> None:
    """configs/reviews.toml, and n-gram logistic regression on the same texts."""
    of_runs = {
        f"reviews-{seed}": ("--config", "configs/reviews.toml", "--set", setting)
        for seed, setting in seeds(count)
    }
    runs = train_all(of_runs, jobs)
    show([json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in runs])
    click.echo("")
    subprocess.run([sys.executable, "tests/benchmarks/reviews_rival.py"], check=True)


@main.command()
@click.option("--seeds", "count", default=2, show_default=True)
@_JOBS
def ablation(count: int, jobs: int) -> None:
    """What each option buys, on films of 2005-2009, trained on those before."""
    rows = {
        base: {base: common} | {name: (*common, *options) for name, options in changes.items()}
        for base, (common, changes) in ABLATION.items()
    }
    runs = {
        (base, name, seed): f"ablation-{_folder(base)}-{_folder(name)}-{seed}"
        for base, options in rows.items()
        for name in options
        for seed, _ in seeds(count)
    }
    train_all(
        {
            run: [part for key in (*EARLY, *rows[base][name], f"seed={seed}")
                  for part in ("--set", key)]
            for (base, name, seed), run in runs.items()
        },
        jobs,
    )  # fmt: skip
    of_seeds = "seed 0" if count == 1 else f"mean of {count} seeds"
    click.echo(
        f"validation films of 2005-2009, {of_seeds}; in brackets the change from the first row"
    )
    for base, options in rows.items():
        click.echo(f"\n{'':36s} rating R2             log10 box office R2   hit AUC")
        first: dict[str, float] = {}
        for name in options:
            means = _means([RUNS / runs[base, name, seed] for seed, _ in seeds(count)])
            first = first or means
            cells = [f"{means[k]:.3f} ({means[k] - first[k]:+.3f})" if k in means else "-"
                     for k in first]  # fmt: skip
            click.echo(f"{name:36s} {''.join(f'{cell:22s}' for cell in cells)}".rstrip())


def _means(runs: Sequence[Path]) -> dict[str, float]:
    """{target and metric: mean over the runs}, on validation films."""
    reports = [json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in runs]
    return {
        f"{target} {metric}": float(np.mean([r["validation"][target][metric] for r in reports]))
        for target, metric in BY_OPTION
        if all(metric in r["validation"].get(target, {}) for r in reports)
    }


if __name__ == "__main__":
    main()
