"""Commands that refuse an option given twice: the last one would win, and nobody would know."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class OnceCommand(TyperCommand):
    """A command whose options are given once, but for those that take several values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the class above; raises ``typer.BadParameter`` for an option that is repeated."""
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class OnceGroup(TyperGroup):
    """The same for a command that has further commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As `OnceCommand.parse_args`."""
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


def _refuse_repeated(command: Any, ctx: Any, args: list[str]) -> None:
    _, _, given = command.make_parser(ctx).parse_args(args=list(args))
    for option in given:
        # A flag that only says yes may say it twice.
        is_yes = getattr(option, "is_flag", False) and not option.secondary_opts
        if option.param_type_name != "option" or option.multiple or is_yes:
            continue
        if given.count(option) > 1:
            raise typer.BadParameter(
                f"given {given.count(option)} times, but it takes one value", ctx, option
            )
