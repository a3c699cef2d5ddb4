"""Find and delete unreferenced objects: generators of findings, which print nothing.

`drain` deletes the objects that the ledger has recorded; `sweep` finds objects that were stored and
never committed; `compare` compares all rows with all objects; `status` returns numbers and
problems; `forget` removes the signature of a database that is gone. Those with an ``a`` in front
are for `AsyncSession`.
"""

from sqlalchemy_file.reconcile.asynchronous import acompare, adrain, astatus, asweep
from sqlalchemy_file.reconcile.drain import drain
from sqlalchemy_file.reconcile.findings import Finding, Progress
from sqlalchemy_file.reconcile.full import compare
from sqlalchemy_file.reconcile.ownership import forget
from sqlalchemy_file.reconcile.status import Status, StorageStatus, status
from sqlalchemy_file.reconcile.sweep import sweep

__all__ = [
    "Finding",
    "Progress",
    "Status",
    "StorageStatus",
    "acompare",
    "adrain",
    "astatus",
    "asweep",
    "compare",
    "drain",
    "forget",
    "status",
    "sweep",
]
