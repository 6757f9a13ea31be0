"""Runs ended at random moments of their lives, by kill -9 and SIGTERM, against an undisturbed one.

    python tests/soak/kills.py --kills 200 --terms 40 --minutes 60

Every life is a real `mfp train` of configs/debug.toml, longer by some epochs. A run dies a dozen
times at places drawn at random, within the time that the work there takes, and is then left to
end; its log, metrics, features, calibration, checkpoints and the parameters of its bundle are
compared bit for bit. Prints the counts by place; exit code 1 where anything differs.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
from lives import AFTER, PLACES, START, TRAINING, Moment, Run, check, differences

EVERY = 5  # train.checkpoint_every of configs/debug.toml
# Without texts, whose network would take most of the time to compile.
SETTINGS: dict[str, object] = {
    "features.texts": "[]",
    "train.epochs": 6,
    "train.patience": 6,
    "train.log_every": 1,
}
MORE = {"step": 6, "checkpoint": 4, "rename": 4}  # the most often that a place is come to


def moments(rng: random.Random, numbers: list[signal.Signals]) -> list[Moment]:
    """As many moments as signals: most in training, in any order, the others after it."""
    chosen = [rng.choice((START, *TRAINING, *TRAINING, *AFTER)) for _ in numbers]
    chosen.sort(key=lambda place: place in AFTER)
    return [
        Moment(place, rng.randint(1, MORE.get(place, 1)), rng.uniform(0, PLACES[place]), number)
        for place, number in zip(chosen, numbers, strict=True)
    ]


@click.command()
@click.option("--kills", default=200, show_default=True, help="Moments of kill -9.")
@click.option("--terms", default=40, show_default=True, help="Moments of SIGTERM.")
@click.option("--minutes", default=60.0, show_default=True, help="Begin no run after these.")
@click.option("--seed", default=0, show_default=True)
@click.option("--prepared", help="Keep prepared films here.")
def main(kills: int, terms: int, minutes: float, seed: int, prepared: str | None) -> None:
    """Count moments survived."""
    rng, deadline = random.Random(seed), time.monotonic() + 60 * minutes
    folder = Path(tempfile.mkdtemp(prefix="mfp-kills-"))
    settings = {"data.prepared": json.dumps(prepared or str(folder / "prepared"))} | SETTINGS
    options = ["--config", "configs/debug.toml"]
    for key, value in settings.items():
        options += ["--set", f"{key}={value}"]
    straight = Run(folder / "straight", options, {}, folder / "compiled")
    straight.live()  # once to fill the caches of films and compiled programs
    shutil.rmtree(straight.folder)
    end = straight.live()
    if end.code:
        sys.exit(end.error)
    survived: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    waits: dict[str, float] = {}  # the longest from SIGTERM to the end, by place
    runs = 0
    while kills + terms > 0 and time.monotonic() < deadline:
        share = kills / (kills + terms)
        numbers = [
            signal.SIGKILL if rng.random() < share else signal.SIGTERM
            for _ in range(min(12, kills + terms))
        ]
        run = Run(folder / f"run-{runs}", options, {}, folder / "compiled")
        before = 0
        for moment in moments(rng, numbers):
            if time.monotonic() > deadline:
                break
            end = run.live(moment)
            wrong += check(moment, end, run, before, EVERY)
            before = run.logged()
            if not end.hit or end.code == 0:
                continue  # it had ended, or ended before it saw the signal
            survived[moment.place, moment.signal.name] += 1
            if moment.signal == signal.SIGKILL:
                kills -= 1
            else:
                terms -= 1
                waits[moment.place] = max(waits.get(moment.place, 0.0), end.seconds)
        end = run.live()
        if end.code or "Traceback" in end.error:
            wrong.append(f"the last life ended with {end.code}: {end.error[-2000:]}")
        else:
            wrong += [f"run {runs}: {what}" for what in differences(straight.folder, run.folder)]
        runs += 1
        click.echo(f"{runs} runs, {sum(survived.values())} moments, {len(wrong)} wrong", err=True)
        if not wrong:
            shutil.rmtree(run.folder)
    for place in PLACES:
        counts = {name: survived[place, name] for name in ("SIGKILL", "SIGTERM")}
        slow = f", out within {waits[place]:.1f} s" if place in waits else ""
        click.echo(f"{place:14} SIGKILL {counts['SIGKILL']:4}  SIGTERM {counts['SIGTERM']:4}{slow}")
    by_signal = Counter[str]()
    for (_, name), count in survived.items():
        by_signal[name] += count
    click.echo(f"{runs} runs to their end, {dict(by_signal)} moments; {len(wrong)} wrong")
    for line in wrong:
        click.echo(line)
    if wrong:
        sys.exit(f"kept: {folder}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
