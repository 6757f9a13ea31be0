"""Coverage-guided fuzzing of one target by atheris (pip install 'mfp[fuzz]', Python 3.11 on Linux).

    python tests/soak/coverage_guided.py csv -runs=1000000 -max_total_time=3600

Targets are those of tests/fuzzing.py; what follows the target's name are options of libFuzzer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent.parent))

with atheris.instrument_imports(include=["mfp"]):
    import fuzzing


def main() -> None:
    targets = fuzzing.targets(Path(tempfile.mkdtemp()))
    if len(sys.argv) < 2 or sys.argv[1] not in targets:
        sys.exit(f"name a target: {', '.join(targets)}")
    target = targets[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
