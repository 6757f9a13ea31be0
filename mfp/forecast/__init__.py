"""Bundle -> forecast. Needs no Flax, Optax, TFDS or Grain, and never imports models or training.

from mfp.forecast import Forecaster
Forecaster.open("runs/base/bundle").predict([Film(title="Heat 2", directors=("Michael Mann",))])
"""

from mfp.forecast.predict import Forecast, Forecaster

__all__ = ["Forecast", "Forecaster"]
