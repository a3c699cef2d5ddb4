"""Chosen keys: nothing is stored under a key whose object is about to be deleted.

The ledger has an entry of the object from before the deletion until after it. An upload in between
could succeed, and then be deleted by the earlier request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import partial

from sqlalchemy import Connection

from sqlalchemy_file.exceptions import ObjectExistsError
from sqlalchemy_file.ledger import notes
from sqlalchemy_file.tracking.claims import Claim
from sqlalchemy_file.tracking.deleting.clearing import has_room
from sqlalchemy_file.transfer import Operation, carry_out, results

PATIENCE = 1.0
"""How many seconds a deletion is waited for."""

_PAUSE = 0.05


def wait_until_free(claim: Claim, chosen: Iterable[tuple[str, str]]) -> None:
    """Wait while an entry says that one of these keys, each with its storage, is being deleted.

    Raises `ObjectExistsError` for one that is not free soon.
    """
    wanted = {f"{storage_name}/{key}": (storage_name, key) for storage_name, key in chosen}
    if not wanted or not notes.may_use(claim.database.connection, claim.ledger):
        return
    until = time.monotonic() + PATIENCE
    while noted := _noted(claim, wanted):
        if time.monotonic() >= until:
            storage_name, key = wanted[min(noted)]
            raise ObjectExistsError(
                "an earlier object with this key is about to be deleted: use another key, or try "
                "again later",
                storage=storage_name,
                key=key,
            )
        pause = Operation(partial(time.sleep, _PAUSE), partial(asyncio.sleep, _PAUSE))
        results(carry_out([pause]))


def _noted(claim: Claim, paths: Iterable[str]) -> set[str]:
    connection = claim.database.connection
    if connection.dialect.name == "sqlite" or not has_room(connection.engine.pool):
        return _seen_by(connection, claim, paths)
    # The transaction may see the ledger as it was when it began.
    with connection.engine.connect() as fresh:
        own = connection.get_execution_options().get("schema_translate_map")
        fresh.execution_options(schema_translate_map=claim.database.schemas or own)
        return _seen_by(fresh, claim, paths)


def _seen_by(connection: Connection, claim: Claim, paths: Iterable[str]) -> set[str]:
    noted = notes.visible(connection, claim.ledger, paths)
    return {note.path for note in noted if not note.is_kept}
