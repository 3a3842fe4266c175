"""Options from dataclasses, by tyro; its errors as one line."""

import contextlib
import dataclasses
import io
import typing
from typing import Any, TypeVar

import tyro

from innerloop.cli import UsageError, unknown

Options = TypeVar("Options")
HELP_FLAGS = ("-h", "--help")


def parse(options: type[Options], arguments: list[str], command: str, description: str | None = None) -> Options:
    """Fill a dataclass from the command line. Exits after --help; raises UsageError for anything it cannot use."""
    _check_flags(options, arguments)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                options,
                prog=f"innerloop {command}",
                description=description,
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UsageError(f"{_one_line(errors.getvalue())} (innerloop {command} --help)") from None


def flags(options: Any) -> list[str]:
    """All flags of a dataclass, those of nested ones included."""
    found = []
    hints = typing.get_type_hints(options)
    for field in dataclasses.fields(options):
        if dataclasses.is_dataclass(hints[field.name]):
            found += flags(hints[field.name])
            continue
        flag = "--" + field.name.replace("_", "-")
        found += [flag, flag.replace("--", "--no-", 1)] if hints[field.name] is bool else [flag]
    return found


def _check_flags(options: Any, arguments: list[str]) -> None:
    known = flags(options)
    for argument in arguments:
        flag = argument.partition("=")[0].replace("_", "-")
        if argument.startswith("--") and flag not in (*known, *HELP_FLAGS):
            raise unknown("option", flag, known)


def _one_line(box: str) -> str:
    """The first paragraph of an error that tyro has drawn a frame around."""
    lines = [line.strip("│ ") for line in box.splitlines() if not line.startswith(("╭", "╰"))]
    paragraph = []
    for line in lines:
        if line.startswith("──"):
            break
        paragraph.append(line)
    return " ".join(" ".join(paragraph).split()) or " ".join(box.split())
