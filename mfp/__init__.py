"""mfp: movie feedback prediction. How a film will be received, before it opens."""

__version__ = "0.1.0"
