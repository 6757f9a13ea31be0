"""How sure a forecast is: fitted after training, stored in the bundle as JSON, applied by NumPy.

Imported by `training` (which fits) and `forecast` (which applies); knows neither of them.

    patterns.py     parts of a film that may be missing, and hiding them on purpose
    spread.py       how far the network is off, film by film: what normalises the scores
    conformal.py    split conformal predictive distributions, grouped by what is missing
    hit.py          the probability of a hit, bounded by those distributions
    fitted.py       all of it together: Calibration
"""
