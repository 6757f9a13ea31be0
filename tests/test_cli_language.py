"""`mfp-predict` in Chinese: tables, reasons, pages, help and errors; JSON and CSV as ever."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from conftest import ROOT
from rich.cells import cell_len

from mfp import cli_predict
from mfp.cli_language import chosen, with_speak

GOLDEN = ROOT / "tests" / "golden"
BUNDLE = GOLDEN / "format-3" / "bundle"
CHINESE = {"LC_ALL": "zh_CN.UTF-8"}
ENGLISH = {"LC_ALL": "C.UTF-8"}
# Words that stay: of the films below, units, and what is typed.
FILM = ["--title", "Storm 2", "--director", "Ann Lee", "--genre", "Drama"]
FILM += ["--release-date", "2019-05-03", "--plot", "A storm.", "--media", str(GOLDEN / "media")]
FILM += ["--poster", "100.png"]
STAYS = "Storm|Ann|Lee|Drama|storm|[x×]|MB"


def predict(arguments: Sequence[str], environment: dict[str, str]) -> Result:
    options = ["-m", str(BUNDLE), "--compiled", "none", *arguments]
    return CliRunner().invoke(cli_predict.main, options, env=environment)


def english_words(text: str, stays: str = STAYS) -> set[str]:
    return {word for word in re.findall(r"[A-Za-z]{2,}", text) if not re.fullmatch(stays, word)}


def titles() -> str:
    """Every word of the golden films and of the past films that the bundle carries."""
    words: set[str] = set()
    for path in (GOLDEN / "films.jsonl", BUNDLE / "reference.json"):
        words |= set(re.findall(r"[A-Za-z]{2,}", path.read_text("utf-8")))
    return "|".join(sorted(words))


def test_table_reasons_and_page_are_chinese(tmp_path: Path):
    page = tmp_path / "film.html"
    arguments = [*FILM, "--format", "table", "--explain", "--report", str(page)]
    found = predict(arguments, CHINESE)
    assert found.exit_code == 0, found.output
    stays = f"{STAYS}|{titles()}"
    assert english_words(found.stdout, stays) == set()
    for expected in ("片名", "评分", "票房", "原因：Storm 2", "平均影片", "导演：Ann Lee"):
        assert expected in found.stdout, expected
    html = page.read_text("utf-8")
    assert '<html lang="zh">' in html
    body = html.split("</style>")[1]
    shown = re.sub(r"<[^>]*>", " ", re.sub(r"data:[^\"]*", "", body))
    shown += " ".join(re.findall(r'(?:aria-label|title|alt)="([^"]*)"', body))
    assert english_words(shown, f"{stays}|mfp|dev|amp|quot|lt|gt") == set()


def test_columns_of_wide_characters_stand_straight():
    found = predict([*FILM, "--format", "table"], CHINESE)
    table = [line for line in found.stdout.splitlines() if line.startswith((" ", "─"))]
    assert len(table) >= 3
    assert len({cell_len(line) for line in table}) == 1


def test_plans_are_chinese(tmp_path: Path):
    page = tmp_path / "plan.html"
    arguments = [*FILM, "--vary", "release_date=2014-01..2014-04/month", "--format", "table"]
    found = predict([*arguments, "--report", str(page)], CHINESE)
    assert found.exit_code == 0, found.output
    assert english_words(found.stdout) == set()
    assert "上映日期" in found.stdout
    assert "最佳" in found.stdout
    paths = "|".join(re.findall("[A-Za-z]{2,}", f"{page} {BUNDLE}"))
    assert english_words(found.stderr, f"{STAYS}|{paths}") == set()


@pytest.mark.parametrize("shape", ["jsonl", "csv"])
def test_what_programs_read_stays_as_it_is(shape: str):
    arguments = [*FILM, "--budget", "7", "--format", shape]
    here, there = predict(arguments, CHINESE), predict(arguments, ENGLISH)
    assert here.stdout_bytes == there.stdout_bytes
    assert "flags" in here.stdout


def test_english_is_said_where_nothing_asks_for_chinese():
    found = predict([*FILM, "--format", "table", "--explain"], ENGLISH)
    assert "Why: Storm 2" in found.stdout
    assert not re.search(r"[\u4e00-\u9fff]", found.output)
    for spoken in (["--speak", "zh"], ["--language", "zh"], ["--language=zh"]):
        assert "片名" in predict([*FILM, "--format", "table", *spoken], ENGLISH).stdout
    assert "title" in predict([*FILM, "--format", "table", "--speak", "en"], CHINESE).stdout


def test_a_films_language_is_still_its_own():
    assert with_speak(["--language", "English"]) == ["--language", "English"]
    assert with_speak(["--language", "zh", "--languages", "zh"]) == [
        "--speak", "zh", "--languages", "zh",
    ]  # fmt: skip
    assert chosen(["--speak=zh"], {}) == "zh"
    assert chosen(["--speak", "xx"], CHINESE) == "zh"
    assert chosen(["--speak"], {}) == "en"


def test_help_is_chinese():
    found = CliRunner().invoke(cli_predict.main, ["--help"], env=CHINESE)
    english = CliRunner().invoke(cli_predict.main, ["--help"], env=ENGLISH)
    assert found.exit_code == english.exit_code == 0
    for option in (p for p in cli_predict.main.params if isinstance(p, click.Option)):
        assert max(option.opts, key=len) in found.stdout, option.opts
    # What stays is typed: options, their values, examples, names of files and formats.
    prose = re.sub(r"(?m)^ +(mfp-predict|cat|--report).*$|--?[\w-]+|\[[\w|]+\]", "", found.stdout)
    left = {word for word in english_words(prose) if word.islower()}
    assert left <= {
        "main", "mfp", "train", "export", "csv", "json", "jsonl", "none", "compiled", "day", "week",
        "month", "year", "zh",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--titel", "x"], 2, "错误：没有选项 '--titel'。"),
        (["--title", "x", "--level", "2"], 2, "错误：'--level' 的值无效"),
        (
            ["--title", "x", "--budget", "xx"],
            2,
            "错误：--budget：'xx' 不是数字；请写数字，单位：美元",
        ),
        (["nowhere.csv"], 1, "错误：nowhere.csv：没有这个文件"),
        (["--title", "x", "--curve", "x.png"], 2, "错误：--curve：只用于方案；请加上 --vary"),
    ],
)
def test_errors_are_chinese_with_the_same_exit_code(arguments: list[str], code: int, said: str):
    here, there = predict(arguments, CHINESE), predict(arguments, ENGLISH)
    assert (here.exit_code, there.exit_code) == (code, code)
    assert said in here.stderr
    assert here.stdout == there.stdout == ""
    if code == 2:
        assert here.stderr.startswith("用法：")


def test_a_rejected_row_is_told_in_chinese(tmp_path: Path):
    table = tmp_path / "films.csv"
    table.write_text("title,release_date,colour\nA,13/45/95,red\nB,2012-05-01,blue\n")
    found = predict([str(table)], CHINESE)
    assert found.exit_code == 3
    assert "未采用：films.csv，第 2 行，release_date：'13/45/95' 不是日期" in found.stderr
    assert "films.csv：列 'colour' 不是已知字段；已忽略" in found.stderr
    assert "1 行未被采用" in found.stderr
