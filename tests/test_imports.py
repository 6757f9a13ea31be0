"""Imports point one way, and each kind of effect lives in the files that design.md names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "mfp"
FILES = sorted(PACKAGE.rglob("*.py"))
STANDARD = sys.stdlib_module_names


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def below(folder: str) -> list[Path]:
    found = [path for path in FILES if name_of(path).startswith(folder)]
    assert found, folder
    return found


def imported(tree: ast.AST, package: str = "mfp") -> set[str]:
    """Every module that a file imports at any depth of its code, as dotted names.

    `from a import b` counts as `a` and `a.b`, since b may be a module.
    """
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            assert isinstance(node.args[0], ast.Constant), "an import that cannot be checked"
            found.add(str(node.args[0].value))
    return found


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def imports_of(path: Path) -> set[str]:
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return imported(ast.parse(path.read_text(encoding="utf-8")), package)


def words_of(path: Path) -> set[str]:
    """Names and attributes that a file's code says (not its comments and texts)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.alias):
            found |= {node.name.split(".")[-1], node.asname or ""}
    return found


def offences(paths: list[Path], forbidden: set[str]) -> list[str]:
    return [
        f"{name_of(path)} imports {module}"
        for path in paths
        for module in sorted(imports_of(path))
        if any(module == name or module.startswith(f"{name}.") for name in forbidden)
    ]


@pytest.mark.parametrize(
    ("code", "module"),
    [
        ("import jax.numpy as jnp", "jax.numpy"),
        ("from mfp import models", "mfp.models"),
        ("def f():\n    from mfp.models.network import Network", "mfp.models.network"),
        ("from ..models import network", "mfp.models.network"),
        ("if TYPE_CHECKING:\n    import flax", "flax"),
        ("importlib.import_module('flax')", "flax"),
    ],
)
def test_the_reader_of_imports_sees_every_form(code: str, module: str):
    assert module in imported(ast.parse(code), "mfp.data")


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        (
            "mfp/data/",
            {"jax", "flax", "optax", "orbax"}
            | {f"mfp.{p}" for p in ("calibration", "models", "training", "forecast", "report")},
        ),
        ("mfp/models/", {f"mfp.{part}" for part in ("data", "training", "forecast", "report")}),
        (
            "mfp/forecast/",
            {"flax", "optax", "tensorflow_datasets", "grain"}
            | {f"mfp.{part}" for part in ("models", "training", "report")},
        ),
        (
            "mfp/calibration/",
            {"jax", "flax", "optax", "orbax"}
            | {f"mfp.{part}" for part in ("models", "training", "forecast", "report")},
        ),
        ("mfp/training/", {"mfp.forecast", "mfp.cli", "mfp.cli_predict"}),
        ("mfp/report/", {"mfp.models", "mfp.cli", "mfp.cli_predict"}),
        ("mfp/", {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}),
        ("mfp/", {"tensorflow", "torch"}),
    ],
)
def test_imports_point_one_way(folder: str, forbidden: set[str]):
    assert offences(below(folder), forbidden) == []


# What the record and the config are made of: light enough for `--help`.
CORE = tuple(
    name
    for name in (
        "config",
        "schema",
        "extensions",
        "film",
        "rows",
        "tables",
        "dates",
        "typed_toml",
        "manifest",
        "prices",
    )
    if (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()
)


@pytest.mark.parametrize("name", CORE)
def test_the_core_imports_the_standard_library_and_itself(name: str):
    allowed = {"mfp", *(f"mfp.{part}" for part in CORE)}
    files = [*(PACKAGE / name).rglob("*.py"), *PACKAGE.glob(f"{name}.py")]
    assert files
    for module in set().union(*map(imports_of, files)):
        top = module.split(".")[0]
        of_core = any(module == part or module.startswith(f"{part}.") for part in allowed - {"mfp"})
        assert top in STANDARD or module == "mfp" or of_core, module


def test_one_file_spreads_training_over_devices():
    parallel = {
        "pmap",
        "device_put",
        "Mesh",
        "NamedSharding",
        "shard_map",
        "with_sharding_constraint",
    }
    found = {name_of(path): words_of(path) & parallel for path in FILES}
    assert {name for name, words in found.items() if words} == {
        "mfp/training/parallel.py",
        "mfp/forecast/bundle.py",
    }
    assert found["mfp/forecast/bundle.py"] == {"device_put"}  # parameters, once, on opening


def test_only_these_files_compile():
    assert {name_of(path) for path in FILES if "jit" in words_of(path)} <= {
        "mfp/training/parallel.py",
        "mfp/training/assemble.py",
        "mfp/training/export.py",
        "mfp/program.py",
    }


def test_only_these_files_import_orbax():
    found = {name_of(path) for path in FILES if offences([path], {"orbax"})}
    assert found == {
        "mfp/training/checkpoint.py",
        "mfp/training/export.py",
    }


def test_only_this_file_imports_optuna():
    found = {name_of(path) for path in FILES if offences([path], {"optuna", "sqlalchemy"})}
    assert found == {"mfp/training/tune.py"}


def test_nothing_executes_what_it_reads():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            place = f"{name_of(path)}:{node.lineno}"
            # `flax_module.eval`-like attributes are other functions; the builtins are bare names.
            assert getattr(node.func, "id", "") not in ("eval", "exec", "compile"), place
            assert not any(k.arg == "allow_pickle" for k in node.keywords), place


HEAVY = (
    "jax jaxlib flax optax tensorflow_datasets tensorflow tokenizers orbax grain numpy scipy optuna"
)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("mfp.cli", ["--help"]),
        ("mfp.cli", ["train", "--help"]),
        ("mfp.cli", ["verify-resume", "--help"]),
        ("mfp.cli", ["tune", "--help"]),
        ("mfp.cli", ["data", "prepare", "--help"]),
        ("mfp.cli_predict", ["--help"]),
        ("mfp.cli_predict", ["--version"]),
    ],
)
def test_help_loads_nothing_heavy(module: str, arguments: list[str]):
    output = run(
        f"import sys, {module} as cli\n"
        f"try: cli.main({arguments!r})\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        f"loaded = [name for name in {HEAVY.split()!r} if name in sys.modules]\n"
        "print('LOADED', loaded)"
    )
    assert output.splitlines()[-1] == "LOADED []"
    assert "mfp" in output.lower()


def test_the_forecaster_loads_no_training_library():
    output = run(
        "import sys, mfp.forecast\n"
        "heavy = 'flax optax tensorflow_datasets tensorflow grain orbax scipy'.split()\n"
        "print([n for n in heavy if n in sys.modules],\n"
        "      [n for n in sys.modules if n.startswith(('mfp.models', 'mfp.training'))])"
    )
    # jax itself loads scipy.
    assert output.strip() in ("[] []", "['scipy'] []")


def test_features_load_no_jax():
    code = "import sys, mfp.data.features, mfp.data.sources\nprint('jax' in sys.modules)"
    assert run(code).strip() == "False"
