"""A command that speaks the language of --speak, or else of the locale: help and errors too.

`--language zh` says the same as `--speak zh`. Any other --language is that of a film, and that of a
film in Chinese is written --languages zh, or Chinese, as its table writes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from mfp.report import language as languages
from mfp.report.language import ENGLISH, Language

SPEAK = click.option(
    "--speak",
    type=click.Choice(languages.NAMES),
    expose_value=False,
    help="Language of tables, pages and messages; --language zh is --speak zh. Default: that of "
    "the locale.",
)
_CHINESE = ["--speak", "zh"]


class LocalCommand(click.Command):
    """A command with SPEAK; its context's `obj` is the Language."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        args = with_speak(args)
        extra["obj"] = found = languages.named(chosen(args, os.environ))
        with _errors_in(found):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _errors_in(ctx.obj):
            return super().invoke(ctx)

    def get_help(self, ctx: click.Context) -> str:
        if ctx.obj is ENGLISH:
            return super().get_help(ctx)
        from mfp.report import help_page

        return help_page.of(self, ctx, ctx.obj)


def with_speak(arguments: Sequence[str]) -> list[str]:
    """The arguments with --speak zh in place of --language zh."""
    found: list[str] = []
    for argument in arguments:
        if argument == "--language=zh":
            found += _CHINESE
        elif argument == "zh" and found[-1:] == ["--language"]:
            found[-1:] = _CHINESE
        else:
            found.append(argument)
    return found


def chosen(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """What --speak says; what it says wrongly is told later, in the locale's."""
    own = languages.of_locale(environment)
    for i, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option == "--speak":
            value = value if equals else next(iter(arguments[i + 1 : i + 2]), "")
            own = value if value in languages.NAMES else own
    return own


def current() -> Language:
    """The language of the command that runs; English where none does."""
    context = click.get_current_context(silent=True)
    return context.obj if context is not None and isinstance(context.obj, Language) else ENGLISH


def tell(sentence: str) -> None:
    """A line for people, on standard error."""
    click.echo(current().sentence(sentence), err=True)


@contextmanager
def _errors_in(language: Language) -> Iterator[None]:
    try:
        yield
    except click.ClickException as error:
        if language is ENGLISH or isinstance(error, _LocalError):
            raise
        raise _LocalError(error, language) from None


class _LocalError(click.ClickException):
    """A click error in another language than English; the exit code stays."""

    def __init__(self, error: click.ClickException, language: Language):
        super().__init__(language.sentence(error.format_message()))
        self.exit_code = error.exit_code  # type: ignore[misc]  # a class variable to click
        self._context = getattr(error, "ctx", None)
        self._language = language

    def show(self, file: Any = None) -> None:
        language, context = self._language, self._context
        if context is not None:
            from mfp.report import help_page

            click.echo(help_page.usage(context, language), file, err=True)
            hint = language("Try '{command}' for help.", command=f"{context.command_path} -h")
            click.echo(f"{hint}\n", file, err=True)
        click.echo(language("Error: {message}", message=self.format_message()), file, err=True)
