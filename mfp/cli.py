"""The command `mfp`: prepare films, train, evaluate, export. Click only; imports stay light.

Exit codes: 0 done; 1 it cannot be done, one line says why; 2 wrong usage; 3 another process of
the run died (134 if it was process 0); 130, 138 and 143 stopped by SIGINT, SIGUSR1 or SIGTERM
(training has saved its state: run again to resume; of several processes it is enough that one was
asked).
"""

from __future__ import annotations

import click

from mfp import __version__
from mfp.cli_data import data
from mfp.cli_evaluate import bundle, evaluate, export
from mfp.cli_report import report
from mfp.cli_train import train, verify_resume
from mfp.cli_tune import tune

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="mfp")
def main() -> None:
    """Movie feedback prediction: train a network on films, evaluate it, export a bundle.

    \b
    Examples:
      mfp train                                      the bundled films, configs/base.toml
      mfp train --set train.epochs=3 --run runs/try
      mfp data prepare --table films.csv --media posters/
      mfp tune --trials 50                           search for a better config
      mfp verify-resume                              a killed run ends in the same bits
      mfp evaluate runs/base
      mfp export runs/base --output my-bundle
      mfp-predict --model runs/base/bundle --title "Heat 2" --director "Michael Mann"
    """


for command in (train, tune, verify_resume, evaluate, report, export, bundle, data):
    main.add_command(command)
