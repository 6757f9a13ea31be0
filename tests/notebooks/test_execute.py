"""What runs the notebooks: it names the cell that fails, and leaves out what differs by machine."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from notebooks import execute

PICTURE = (
    "import matplotlib.pyplot as plt\nplt.figure(figsize=(1, 1))\nplt.plot([1, 2])\nplt.show()"
)


def write(path: Path, *sources: str) -> Path:
    """A notebook of code cells between a title and an end."""
    cells = [new_code_cell(source) for source in sources]
    cells = [new_markdown_cell("# Title"), *cells, new_markdown_cell("What was learned")]
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write(tmp_path_factory.mktemp("notebooks") / "01_good.ipynb", "x = 2", "x + 40", PICTURE)
    assert execute.execute(path).cells[2].outputs[0].data["text/plain"] == "42"
    nbformat.write(execute.execute(path), path)
    return path


def test_a_notebook_that_was_run_has_no_problems(run: Path):
    assert execute.problems(run) == []


def kernels() -> list[str]:
    """The kernels that this process has started and not ended."""
    ours = f"/proc/{os.getpid()}/task/*/children"
    children = [pid for path in glob.glob(ours) for pid in Path(path).read_text().split()]
    commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in children]
    return [command for command in commands if "ipykernel" in command]


def test_a_kernel_ends_with_its_notebook(run: Path):
    assert not kernels()


def test_running_again_changes_no_byte(run: Path):
    before = run.read_bytes()
    nbformat.write(execute.execute(run), run)
    assert run.read_bytes() == before


def test_a_failing_cell_is_named(tmp_path: Path):
    path = write(tmp_path / "02_bad.ipynb", "x = 1", "x / 0", "x")
    with pytest.raises(execute.NotebookError, match=r"(?s)02_bad.ipynb, cell 3: .*ZeroDivision"):
        execute.execute(path)
    assert not kernels()
    assert execute.main([str(tmp_path / "nothing")]) == 1


@pytest.mark.parametrize(
    ("source", "text", "what"),
    [
        ("1", "/home/someone/films.csv", "names a place"),
        ("1", "see /usr/lib/python3/dist", "names a place"),
        ("open('/tmp/x')", "", "names a place"),
        ("1", "C:\\films\\a.csv", "names a place"),
        ("1", "lib/python3.12/site-packages/jax/a.py:3: Warning", "names a place"),
        ("class FilmArrays: pass", "", "which mfp has"),
        ("def squared_error(): pass", "", "which mfp has"),
        ("def long():\n" + "    x = 1\n" * 50, "", "belongs in mfp"),
    ],
)
def test_what_does_not_belong_is_found(
    run: Path, tmp_path: Path, source: str, text: str, what: str
):
    notebook = nbformat.read(run, as_version=4)
    cell = notebook.cells[1]
    cell.source = source
    cell.outputs = [new_output("stream", name="stdout", text=text)]
    path = tmp_path / run.name
    nbformat.write(notebook, path)
    (problem,) = execute.problems(path)
    assert problem.startswith("01_good.ipynb, cell 2: ")
    assert what in problem


@pytest.mark.parametrize("text", ["../configs/base.toml", "a/b and 3/4", "24/7", "d(x)/d(y)"])
def test_relative_paths_and_fractions_are_fine(run: Path, tmp_path: Path, text: str):
    notebook = nbformat.read(run, as_version=4)
    notebook.cells[1].outputs = [new_output("stream", name="stdout", text=text)]
    path = tmp_path / run.name
    nbformat.write(notebook, path)
    assert execute.problems(path) == []


def test_a_notebook_that_was_not_run_is_found(tmp_path: Path):
    path = write(tmp_path / "03_new.ipynb", "1", "2")
    found = "\n".join(execute.problems(path))
    for what in ("cell 2: was not run", "cell 3: was not run", "no picture", "metadata"):
        assert what in found
    assert execute.main(["--check", "no such notebook"]) == 1


def test_notebooks_are_chosen_by_the_beginning_of_their_names(tmp_path: Path):
    paths = [write(tmp_path / f"{name}.ipynb") for name in ("01_a", "02_b", "08_c")]
    assert execute.find([], tmp_path) == paths
    assert execute.find(["01", "08"], tmp_path) == [paths[0], paths[2]]
