"""English is what the sources say; Chinese has all of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

from mfp.report import language as languages
from mfp.report.chinese import CHINESE
from mfp.report.language import ENGLISH

CJK = re.compile(r"[\u4e00-\u9fff]")
PACKAGE = ROOT / "mfp"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_locale_says_the_language(environment: dict[str, str], name: str):
    assert languages.of_locale(environment) == name


def test_english_is_what_the_sources_say():
    assert not ENGLISH.messages
    assert ENGLISH("{low} to {high}", low="1", high="2") == "1 to 2"
    assert ENGLISH.sentence("page in x.html") == "page in x.html"
    assert ENGLISH.word("verdict", "hit") == "hit"
    assert ENGLISH.name_of("budget_usd") == "budget usd"


@pytest.mark.parametrize(
    ("amount", "english", "chinese"),
    [
        (1.2e9, "$1.2B", "12亿美元"),
        (42.1e6, "$42.1M", "4,210万美元"),
        (560e3, "$560K", "56万美元"),
        (9_999.9, "$10K", "1万美元"),
        (900, "$900", "900美元"),
    ],
)
def test_dollars(amount: float, english: str, chinese: str):
    assert ENGLISH.dollars(amount) == english
    assert CHINESE.dollars(amount) == chinese


def test_a_sentence_is_translated_inside_its_frame():
    said = CHINESE.sentence(
        "rejected: a.csv, row 3, release_date: '13/45/95' is not a date; write YYYY-MM-DD"
    )
    assert said == "未采用：a.csv，第 3 行，release_date：'13/45/95' 不是日期；请写成 YYYY-MM-DD"
    said = CHINESE.sentence("unseen company: A, B, C and 2 more (in fewer than 2 training films)")
    assert said == "未见过的制片公司：A, B, C等，另有 2 个（在训练影片中出现少于 2 部）"
    assert CHINESE.sentence("nobody says this") == "nobody says this"


def test_what_a_user_wrote_is_not_taken_for_a_template():
    assert CHINESE("Why: {title}", title="{0} {title}") == "原因：{0} {title}"
    assert CHINESE.sentence("this bundle does not read {x}, {0!r}") == "本模型不读取：{x}、{0!r}"


def placeholders(template: str) -> set[str]:
    return {name.split("!")[0] for name in re.findall(r"{(\w+)(?:![tlw])?}", template)}


@pytest.mark.parametrize("table", [CHINESE.messages, CHINESE.sentences], ids=["messages", "said"])
def test_every_value_of_a_text_is_used_in_its_translation(table: dict[str, str]):
    for english, own in table.items():
        assert placeholders(own) <= placeholders(english), english
        forgotten = placeholders(english) - placeholders(own)
        assert forgotten <= {"kind"}, english


def literal(node: ast.expr) -> str | None:
    """A text as the source says it, its values in braces; None where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values
        )
    return None


def messages_of_sources() -> Iterator[str]:
    for path in [*PACKAGE.glob("report/*.py"), *PACKAGE.glob("cli*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                called = node.func
                if isinstance(called, ast.Call):  # current()("...")
                    called = called.func
                if getattr(called, "id", "") in ("language", "current"):
                    text = literal(node.args[0])
                    if text is not None:
                        yield text
    for path in PACKAGE.glob("report/templates/*.html"):
        for text in re.findall(r'language\("(.*?)"[,)]', path.read_text("utf-8")):
            yield text.replace("\\n", "\n")


def test_every_message_has_its_chinese():
    found = set(messages_of_sources())
    assert len(found) > 60
    assert {text for text in found if text not in CHINESE.messages} == set()


def strings(path: Path) -> Iterator[str]:
    """Every text of a file that is several words, but docstrings and annotations."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            skipped.add(id(body[0].value))
        for name in ("annotation", "returns"):
            skipped |= {id(n) for n in ast.walk(getattr(node, name, None) or ast.Pass())}
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(n) for n in ast.walk(node) if n is not node}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in skipped:
            text = literal(node)
            if text and " " in text.strip() and re.search(r"[a-z]{2}", text):
                yield text


# Pieces of a sentence that is put together, whose whole is checked below; and what is no sentence.
PIECES = {
    "--vary 7: 7", "7, row 77",
    " and 7 more", " in 7", "1 row was", "7 rows were", "7 rejected7", "; see 7", "interrupted7",
    "hit: 7 is what the network says, and explained here; ", "7 is that calibrated",
    "; the same command with --resume goes on", "Extra data", "unexpected end", "US dollars",
    "Mapping[str, Any] | _Bad", "level 7: is not a share; write a number between 0 and 1",
    "level 7: needs more calibration films than this bundle has; at most 7",
    "7 is impossible; write 7 to 77, or leave empty", "7: 7; without --resume it begins anew",
    "belongs to a run with another 7", "does not belong to 7, which is shorter", "is damaged (7)",
    "No such file or folder", "7 is not a number; write digits7",
}  # fmt: skip
WHOLE = [
    "has no intervals of rating: only 30 calibration films know it, 60 are needed",
    "Smith, Jones and 3 more",
    "1 row was rejected",
    "7 rows were rejected; see rejects.jsonl",
    "interrupted; the same command with --resume goes on",
    "hit: 3.0% is what the network says, and explained here; 4.0% is that calibrated",
    "--level 2: is not a share; write a number between 0 and 1",
    "--level 0.99: needs more calibration films than this bundle has; at most 0.98",
    "'x' is impossible; write 0 to 10, or leave empty",
    "'x' is impossible; write 0 to 6000 minutes, or leave empty",
    "'x' is not a number; write digits in US dollars",
    "o.csv.resume.json: is damaged (x); without --resume it begins anew",
    "o.csv.resume.json: belongs to a run with another level; without --resume it begins anew",
]
SPEAKING = [
    *(f"forecast/{name}.py" for name in ("flags", "plan", "axes", "intervals", "predict")),
    *(f"data/{name}.py" for name in ("media", "image")),
    *("rows.py", "dates.py", "tables.py", "cli_stream.py", "cli_page.py", "cli_plan.py"),
    *("cli_forecasts.py",),
]


@pytest.mark.parametrize("name", SPEAKING)
def test_every_sentence_has_its_chinese(name: str):
    said = [text for text in strings(PACKAGE / name) if text not in PIECES | set(CHINESE.messages)]
    assert said or name == "cli_stream.py"
    missing = [text for text in said if not CJK.search(CHINESE.sentence(text))]
    assert [text for text in missing if not re.search(r"\\[dw]|\(\?", text)] == [], name


@pytest.mark.parametrize("text", WHOLE)
def test_sentences_that_are_put_together(text: str):
    said = CHINESE.sentence(text)
    assert CJK.search(said)
    assert not re.search(r"write|rejected|needs|belongs|damaged|interrupted|network|more", said)
