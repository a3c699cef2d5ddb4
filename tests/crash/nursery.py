"""A process that has imported everything, and forks a worker for each line that it reads.

Its own state is only what imports leave: no engine, no storage, no thread. Two lines of JSON
answer each job: the worker's process id, and how it ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

from sqlalchemy_file import File, StorageManager
from sqlalchemy_file.exceptions import StorageError
from sqlalchemy_file.reconcile import drain, sweep
from sqlalchemy_file.storage import adapt
from sqlalchemy_file.storage.obstore import addresses as obstore_addresses

from .models import Base, Page
from .steps import SteppedStorage, Steps
from .writer import Writer

__all__ = ["obstore_addresses"]  # imported before the first fork


def main() -> None:
    for line in sys.stdin:
        worker = os.fork()
        if worker == 0:
            os._exit(_work(json.loads(line)))
        _tell(pid=worker)
        _tell(code=os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))


def _tell(**what: int) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201  the answer


def _work(job: dict[str, Any]) -> int:
    try:
        steps = Steps(job.get("step"), job.get("times", 1))
        StorageManager.add_storage("main", SteppedStorage(adapt(job["storage"]), steps))
        if job.get("through_asyncio"):
            engine = create_async_engine(job["database"], poolclass=NullPool).sync_engine
            asyncio.run(greenlet_spawn(_do, job, engine, steps))  # type: ignore[arg-type]
        else:
            _do(job, create_engine(job["database"]), steps)
    except BaseException:  # noqa: BLE001  whatever it is, it is to be seen
        traceback.print_exc()
        return 1
    return 0


def _do(job: dict[str, Any], engine: Any, steps: Steps) -> None:
    steps.watch(engine)
    if job["work"] == "write":
        forgiven = (DBAPIError, StorageError) if job.get("stubborn") else ()
        large = job.get("large", False)
        Writer(engine, Page, File, job["seed"], large=large, forgiven=forgiven).run()
    elif job["work"] == "drain":
        list(drain(engine, Base.metadata))
    else:
        list(sweep(engine, Base.metadata, delete=True, grace=0))
    engine.dispose()


if __name__ == "__main__":
    main()
