"""The help of a command in another language than English, whose characters may be two wide."""

from __future__ import annotations

import inspect
import re
import shutil

import click
from rich.cells import cell_len

from mfp.report.language import Language

_OPTION_COLUMN = 32  # options that are longer stand on a line of their own


def usage(context: click.Context, language: Language) -> str:
    """The line that says how the command is called."""
    pieces = context.command.collect_usage_pieces(context)
    call = [context.command_path, *(language(piece) for piece in pieces)]
    return language("Usage: {call}", call=" ".join(call))


def of(command: click.Command, context: click.Context, language: Language) -> str:
    """The whole help: usage, what the command does, its options."""
    width = min(context.max_content_width or 80, shutil.get_terminal_size().columns)
    lines = [usage(context, language)]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        lines.append("")
        if paragraph.startswith("\b\n"):  # click's mark: lines stand as they are
            for line in paragraph[2:].splitlines():
                indent = line[: len(line) - len(line.lstrip())]
                lines.append(f"  {indent}{language.sentence(line.lstrip())}")
        else:
            said = language.sentence(" ".join(paragraph.split()))
            lines += [f"  {part}" for part in wrap(said, width - 2)]
    lines += ["", language("Options:")]
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if record is not None and isinstance(option, click.Option):
            names, *rest = (
                f"  {record[0]}",
                *wrap(_told(option, record[1], language), width - _OPTION_COLUMN),
            )
            if len(names) > _OPTION_COLUMN - 2:
                lines.append(names)
                names = ""
            lines.append(f"{names:{_OPTION_COLUMN}}{rest[0]}")
            lines += [" " * _OPTION_COLUMN + line for line in rest[1:]]
    return "\n".join(lines)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most so many columns: broken between words, and between any wide characters.

    A mark that ends a phrase does not begin a line. A word longer than a line stays whole.
    """
    lines = [""]
    for piece in re.findall(r"[ -~]+?(?: +|(?![ -~]))|[^ -~][，。；：、）？》]*", text):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
            piece = piece.lstrip()
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def _told(option: click.Option, record: str, language: Language) -> str:
    """The help of an option, and what click says of its default in brackets behind it."""
    text = " ".join((option.help or "").split())
    extra = record[len(option.help or "") :].strip()
    for word in ("env var", "default", "required"):
        extra = extra.replace(word, language.word("help", word))
    return f"{language.sentence(text)} {extra}".strip()
