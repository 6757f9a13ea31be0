"""The READMEs name files, commands and keys that exist, and agree on every figure and command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT

from mfp import config as configs
from mfp.cli import main
from mfp.cli_predict import main as predict
from mfp.config import Config

ENGLISH = (ROOT / "README.md").read_text("utf-8")
CHINESE = (ROOT / "README.zh.md").read_text("utf-8")
FENCE = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
CODE = re.compile(r"`([^`]+)`")
FIGURE = re.compile(r"\d[\d,]*\.\d+|\d[\d,]{3,}")
REMEDY = "copy it from README.md into README.zh.md"


def rows_of(table: str) -> list[list[str]]:
    return [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]


def article() -> list[list[str]]:
    """The rows of the table of the article: part, what, command, files."""
    _, section = ENGLISH.split("## The article, part by part", 1)
    table = TABLE.search(section)
    assert table is not None
    return rows_of(table[0])[2:]


@pytest.mark.parametrize("row", article(), ids=lambda row: f"{row[0]}{row[1]}".strip())
def test_every_part_of_the_article_lives_somewhere(row: list[str]):
    files = CODE.findall(row[3])
    assert files
    for file in files:
        assert (ROOT / file).is_file(), file


def test_no_part_of_the_article_is_left_out():
    parts = [row[0].strip() for row in article() if row[0].strip()]
    steps = [f"3.2.{step}" for step in range(1, 7)]
    assert [part for part in parts if part.startswith("3.2.")] == steps
    assert {"3.2", "3.3", "4.1", "4.2"} <= set(parts)
    named = {file for row in article() for file in CODE.findall(row[3])}
    for number in range(1, 9):
        assert any(file.startswith(f"notebooks/{number:02}_") for file in named), number


@pytest.mark.parametrize("text", [c for row in article() for c in CODE.findall(row[2])])
def test_every_command_and_key_of_the_table_is_there(text: str):
    words = text.split()
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        return
    if words[0] not in ("mfp", "mfp-predict"):
        if words[0].startswith("--"):
            assert any(words[0] in option.opts for option in main.commands["train"].params)
        else:
            configs.value_of(Config(), text)  # raises where it is no key
        return
    command, words = (predict if words[0] == "mfp-predict" else main), words[1:]
    while words and not words[0].startswith("--"):
        command, words = command.commands[words[0]], words[1:]  # type: ignore[attr-defined]
    for option in words:
        assert any(option in parameter.opts for parameter in command.params), option


def test_both_readmes_show_the_same_commands_and_outputs():
    ours, theirs = FENCE.findall(ENGLISH), FENCE.findall(CHINESE)
    assert len(ours) == len(theirs)
    for english, chinese in zip(ours, theirs, strict=True):
        assert chinese == english, REMEDY


def test_both_readmes_have_the_same_tables():
    ours, theirs = (TABLE.findall(FENCE.sub("", text)) for text in (ENGLISH, CHINESE))
    assert len(ours) == len(theirs)
    for english, chinese in zip(map(rows_of, ours), map(rows_of, theirs), strict=True):
        assert [len(row) for row in english] == [len(row) for row in chinese], english[0]
        for mine, other in zip(english, chinese, strict=True):
            for cell, translated in zip(mine, other, strict=True):
                assert CODE.findall(cell) == CODE.findall(translated), cell
                assert FIGURE.findall(cell) == FIGURE.findall(translated), f"{cell}: {REMEDY}"


def test_the_chinese_text_has_no_figure_that_the_english_has_not():
    text = TABLE.sub("", FENCE.sub("", CHINESE))
    for figure in FIGURE.findall(CODE.sub("", text)):
        assert figure in ENGLISH, figure


def test_both_readmes_have_the_same_sections():
    sections = [re.findall(r"^##? ", FENCE.sub("", text), re.M) for text in (ENGLISH, CHINESE)]
    assert sections[0] == sections[1]


@pytest.mark.parametrize("name", ["README.md", "README.zh.md", "CONTRIBUTING.md"])
def test_every_link_leads_somewhere(name: str):
    path = ROOT / name
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text("utf-8")):
        assert (path.parent / Path(target)).exists(), target
