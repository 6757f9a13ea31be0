"""Run the notebooks from top to bottom, in place, so that what a reader sees is what came out.

    python tests/notebooks/execute.py              all of notebooks/, in order
    python tests/notebooks/execute.py 01 08        those whose names begin so
    python tests/notebooks/execute.py --check      only say what is wrong with them as they stand

A run again on the same machine changes nothing: what depends on when, where and by whom a notebook
was run (times, kernel, random cell ids, editor settings) is left out of the file.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
MAX_BYTES = 700_000  # of one notebook with its figures
MAX_LINES = 40  # of a function that a notebook defines to show its lines
CELL_SECONDS = 900  # a loaded machine is slow
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# A folder of some machine, at the beginning of a word.
_PATH = re.compile(
    r"(?<![\w./~:-])(?:/(?:home|root|tmp|var|usr|opt|work|mnt|srv|Users|private|dev/shm)/\S+"
    r"|[A-Za-z]:\\\\?\w\S*|file://\S+|\S*site-packages\S*)"
)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(RuntimeError):
    """A cell failed; the message names notebook and cell."""


def find(names: Sequence[str] = (), folder: Path = FOLDER) -> list[Path]:
    """The notebooks whose file names begin with one of `names`, in order; all without names."""
    every = sorted(folder.glob("*.ipynb"))
    return [path for path in every if not names or path.name.startswith(tuple(names))]


class _ThisPython(KernelSpecManager):
    """The kernel is this interpreter, whatever kernels the user has installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def _environment(private: str) -> dict[str, str]:
    """That of a fresh reader: the processor, and no settings of the user or of a test session."""
    ours = {"JAX_PLATFORMS": "cpu", "PYTHONHASHSEED": "0", "IPYTHONDIR": private}
    left_out = ("JAX_NUM_CPU_DEVICES", "MPLBACKEND")
    return {k: v for k, v in os.environ.items() if k not in left_out} | ours


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook after a run in a kernel of its own, in its own folder; the file is not touched.

    Raises:
      NotebookError: a cell raised, took too long, or ended the kernel.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as private:
        # Sockets in a folder of its own: no port of this machine is opened.
        manager = AsyncKernelManager(
            kernel_spec_manager=_ThisPython(),
            transport="ipc",
            connection_file=f"{private}/kernel.json",
        )
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=CELL_SECONDS,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(path.parent)}},
            extra_arguments=["--HistoryManager.enabled=False"],
        )
        try:
            client.execute(cleanup_kc=True, env=_environment(private))  # ours is left alive else
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            cell = _failed(notebook)
            reason = _ANSI.sub("", str(error)).strip()
            raise NotebookError(f"{path.name}, cell {cell}: {reason}") from None
    return tidy(notebook)


def _failed(notebook: nbformat.NotebookNode) -> int:
    """The first code cell that was not run or ended in an error, counted from 1 among all cells."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code" and cell.source.strip():
            errors = [output for output in cell.outputs if output.output_type == "error"]
            if errors or cell.execution_count is None:
                return number
    return len(notebook.cells)


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Only what a reader sees, and ids that follow from each cell's content."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    taken: set[str] = set()
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        name, repeat = "", 0
        while not name or name in taken:
            name = hashlib.sha256(f"{repeat}{cell.source}".encode()).hexdigest()[:8]
            repeat += 1
        cell["id"] = name
        taken.add(name)
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return notebook


def problems(path: Path) -> list[str]:
    """What is wrong with a notebook as it stands, a line each: 'name, cell: what'."""
    notebook = nbformat.read(path, as_version=4)
    found = [f"cell {n}: {what}" for n, what in _cell_problems(notebook)]
    kinds = [cell.cell_type for cell in notebook.cells]
    if kinds[:1] != ["markdown"] or not notebook.cells[0].source.startswith("# "):
        found.append("does not begin with a title")
    if kinds[-1:] != ["markdown"]:
        found.append("does not end with what was learned")
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    if not any("image/png" in output.get("data", {}) for output in outputs):
        found.append("has no picture")
    if dict(notebook.metadata) != METADATA:
        found.append("was not written by execute.py (its metadata differ)")
    if path.stat().st_size > MAX_BYTES:
        found.append(f"is larger than {MAX_BYTES // 1000} kB; draw smaller pictures")
    return [f"{path.name}, {what}" for what in found]


def _cell_problems(notebook: nbformat.NotebookNode) -> Iterator[tuple[int, str]]:
    known = _names_of_mfp()
    expected = 0
    for number, cell in enumerate(notebook.cells, start=1):
        texts = [cell.source, *map(_text_of, cell.get("outputs", ()))]
        for place in filter(None, map(_place, texts)):
            yield number, f"names a place on some machine: {place[:60]}"
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        expected += 1
        if cell.execution_count != expected:
            yield number, "was not run in its turn"
        for output in cell.outputs:
            if output.output_type == "error":
                yield number, f"ends in {output.ename}"
            if output.get("name") == "stderr":
                yield number, f"warns: {output.text.strip()[:80]}"
        for name, lines in _definitions(cell.source):
            if name in known:
                yield number, f"defines {name}, which mfp has; call it"
            if lines > MAX_LINES:
                yield number, f"defines {name} in {lines} lines; it belongs in mfp"


def _text_of(output: nbformat.NotebookNode) -> str:
    """What an output says in words."""
    data = output.get("data", {})
    words = [value for kind, value in data.items() if kind.startswith("text/") or "svg" in kind]
    return "\n".join([output.get("text", ""), *map(str, words), *output.get("traceback", ())])


def _place(text: str) -> str:
    """The first place in a text that only some machine has: a host, a folder; empty for none."""
    own = [socket.gethostname(), str(ROOT), str(Path.home()), f"{tempfile.gettempdir()}/"]
    named = [place for place in own if len(place) > 3 and place in text]
    return next(iter(named + _PATH.findall(text)), "")


def _definitions(source: str) -> list[tuple[str, int]]:
    """Names and lengths of the functions and classes that a cell defines."""
    plain = "\n".join("" if line.startswith(("%", "!")) else line for line in source.splitlines())
    return [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(ast.parse(plain))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


def _names_of_mfp() -> set[str]:
    """The public functions and classes of the package, of some length: `of` and `fit` are words."""
    found: set[str] = set()
    for path in (ROOT / "mfp").rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                found.add(node.name)
    return {name for name in found if "_" in name or not name.islower()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of file names; all without any")
    parser.add_argument("--check", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    paths = find(options.names)
    if not paths:
        print(f"no notebook begins with {' or '.join(options.names) or 'anything'}")
        return 1
    wrong: list[str] = []
    for path in paths:
        if not options.check:
            start = time.monotonic()
            try:
                notebook = execute(path)
            except NotebookError as error:
                wrong.append(str(error))
                continue
            nbformat.write(notebook, path)
            print(
                f"{path.name}: {time.monotonic() - start:.0f} s, {path.stat().st_size // 1000} kB"
            )
        wrong += problems(path)
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
