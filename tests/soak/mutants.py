"""Mutation tests: small changes of a module, each of which its tests should see.

    python tests/soak/mutants.py losses            one module
    python tests/soak/mutants.py --jobs 4          all of MODULES
    python tests/soak/mutants.py metrics --line 40 the mutants of one line, with their diffs

cosmic-ray makes the mutants (pip install 'mfp[proof]'); each is tested in a process of its own,
forked from one that has imported jax and pytest, in which it takes the place of the module. Prints
the mutants that no test saw; exit code 1 where there are any but those of `mutants_argued.txt`.
Prepared films, compiled programs and the run that forecasts are made with are of the module as it
is, made once.
"""

from __future__ import annotations

import ast
import difflib
import importlib.abc
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
ARGUED = Path(__file__).with_name("mutants_argued.txt")

_STEP = tuple(f"training/test_{x}.py" for x in ("step", "uncertainty", "members", "ten_steps"))

# Each module and the tests that are to see its mutants, the quickest first.
MODULES = {
    "losses": ("mfp.training.losses", ("training/test_losses.py", *_STEP[:3])),
    "step": ("mfp.training.step", _STEP),
    "metrics": ("mfp.training.metrics", ("training/test_metrics.py",)),
    "intervals": ("mfp.forecast.intervals", ("forecast/test_intervals.py",)),
    "conformal": (
        "mfp.calibration.conformal",
        tuple(f"calibration/test_{x}.py" for x in ("conformal", "fitted", "hit", "points")),
    ),
    "history": (
        "mfp.data.history",
        tuple(f"data/test_{x}.py" for x in ("history", "history_saved", "joint", "track_record")),
    ),
}
# Of each binary operator and comparison the likeliest mistakes; without those, most mutants are
# type errors, which say nothing of the tests.
OPERATORS = (
    *("AddNot", "NumberReplacer", "ExceptionReplacer", "ZeroIterationForLoop"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue"),
    *("ReplaceContinueWithBreak", "ReplaceFalseWithTrue", "ReplaceTrueWithFalse"),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub"),
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in (
            *("Add_Sub", "Add_Mul", "Sub_Add", "Mul_Div", "Mul_Add", "Div_Mul", "FloorDiv_Mul"),
            *("Mod_FloorDiv", "Pow_Mul", "BitAnd_BitOr", "BitOr_BitAnd"),
        )
    ),
    *(
        f"ReplaceComparisonOperator_{pair}"
        for pair in (
            *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is", "Lt_LtE", "Lt_GtE", "LtE_Lt"),
            *("LtE_Gt", "Gt_GtE", "Gt_LtE", "GtE_Gt", "GtE_Lt"),
        )
    ),
)
# What every test waits for, and nothing that has imported one of MODULES.
PRELOADED = [
    *("jax", "flax.linen", "optax", "orbax.checkpoint", "scipy.optimize", "scipy.sparse"),
    *("tokenizers", "pytest", "xdist.plugin", "pytest_timeout", "hypothesis", "mfp.config"),
]


@dataclass(frozen=True)
class Mutant:
    """One change of a module's source."""

    operator: str
    line: int
    source: str
    diff: str

    @property
    def name(self) -> str:
        """The changed lines: what stays the same where lines are added above."""
        return " => ".join(
            " ".join(line[1:].strip() for line in self.diff.splitlines() if line[0] == sign)
            for sign in "-+"
        )


def _meaning(source: str) -> str:
    """A module without what no test is asked to see.

    That is annotations, docstrings, messages of assertions, `frozen` and `strict`, which only
    guard against mistakes to come, and constants of the module, which one chooses.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
        if isinstance(node, ast.Assert):
            node.msg = None
        if isinstance(node, ast.Call):
            guards = ("frozen", "eq", "strict")
            node.keywords = [word for word in node.keywords if word.arg not in guards]
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return ast.dump(tree)


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a module that mean something else."""
    from cosmic_ray.mutating import MutationVisitor
    from cosmic_ray.plugins import get_operator

    seen = {_meaning(source)}
    for name in OPERATORS:
        operator, occurrence = get_operator(f"core/{name}")(), 0
        while (changed := MutationVisitor.mutate_code(source, operator, occurrence)) is not None:
            occurrence += 1
            try:
                meaning = _meaning(changed)
            except SyntaxError:
                continue
            if meaning in seen:
                continue
            seen.add(meaning)
            old, new = source.splitlines(), changed.splitlines()
            diff = list(difflib.unified_diff(old, new, lineterm="", n=0))[2:]
            line = int(diff[0].split()[1][1:].split(",")[0])
            yield Mutant(name, line, changed, "\n".join(diff[1:]))


class _Instead(importlib.abc.MetaPathFinder):
    """Finds one module as it would be found, with another source."""

    def __init__(self, name: str, source: str):
        self._name, self._source = name, source

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)
        code = compile(self._source, spec.loader.path, "exec")
        spec.loader.get_code = lambda fullname: code  # type: ignore[method-assign]
        return spec


def _test(name: str, source: str, tests: Sequence[str], folder: str, common: str) -> None:
    """In a process of its own: exit code 0 where all tests pass."""
    import pytest

    os.environ["MFP_TESTS_COMMON"] = common

    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    if name in sys.modules:
        os._exit(0)  # too late to be replaced
    sys.meta_path.insert(0, _Instead(name, source))
    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}", "--timeout=900"]
    os._exit(int(pytest.main([*options, *(f"tests/{test}" for test in tests)])))


def survives(name: str, source: str, tests: Sequence[str], common: str, seconds: float) -> bool:
    """Whether all tests pass with this source in the place of the module."""
    context = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory(prefix="mfp-mutant-") as folder:
        process = context.Process(
            target=_test, args=(name, source, tests, f"{folder}/tests", common)
        )
        process.start()
        process.join(seconds)
        if process.is_alive():  # it goes round in circles, which somebody would notice
            process.kill()
            process.join()
        return process.exitcode == 0


@click.command()
@click.argument("modules", nargs=-1, type=click.Choice(list(MODULES)))
@click.option("--jobs", default=2, show_default=True, help="Mutants tested at once.")
@click.option("--line", type=int, help="Only mutants of this line.")
@click.option("--minutes", default=90.0, show_default=True, help="Begin no mutant after these.")
@click.option("--keep", type=click.Path(file_okay=False), help="Keep what tests share in here.")
def main(
    modules: Sequence[str], jobs: int, line: int | None, minutes: float, keep: str | None
) -> None:
    """List the mutants that no test sees."""
    os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    argued = {x.strip() for x in ARGUED.read_text("utf-8").splitlines() if " => " in x}
    common = keep or tempfile.mkdtemp(prefix="mfp-mutants-")
    Path(common).mkdir(exist_ok=True)
    deadline, unseen = time.monotonic() + 60 * minutes, 0
    for short in modules or MODULES:
        name, tests = MODULES[short]
        source = (ROOT / (name.replace(".", "/") + ".py")).read_text("utf-8")
        began = time.monotonic()
        if not survives(name, source, tests, common, 1200):
            sys.exit(f"{short}: its tests fail as it is")
        limit = 60 + 5 * (time.monotonic() - began)
        found = [m for m in mutants(source) if line in (None, m.line)]

        def alive(mutant: Mutant) -> bool | None:
            if time.monotonic() > deadline:
                return None
            return survives(name, mutant.source, tests, common, limit)  # noqa: B023

        with ThreadPoolExecutor(jobs) as pool:
            results = list(tqdm(pool.map(alive, found), short, len(found), unit=" mutants"))
        left = [m for m, lives in zip(found, results, strict=True) if lives]
        new = [m for m in left if m.name not in argued]
        tested = sum(lives is not None for lives in results)
        unseen += len(new)
        click.echo(
            f"{short}: {tested} of {len(found)} mutants tested, {tested - len(left)} seen, "
            f"{len(left) - len(new)} argued away, {len(new)} not seen"
        )
        for mutant in new:
            click.echo(f"  line {mutant.line}, {mutant.operator}\n    {mutant.name}")
    if not keep:
        shutil.rmtree(common)
    sys.exit(1 if unseen else 0)


if __name__ == "__main__":
    main()
