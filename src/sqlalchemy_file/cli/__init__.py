"""The command `sqlalchemy-file`: arguments, progress and exit codes over `reconcile`."""

from __future__ import annotations

import sys

EXTRA = "sqlalchemy-file needs an extra: pip install 'sqlalchemy-file[cli]'"


def main() -> None:
    """Run the command; without the extra ``cli``, say so and exit with 2."""
    try:
        from sqlalchemy_file.cli.commands import run  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        print(EXTRA, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    run()
