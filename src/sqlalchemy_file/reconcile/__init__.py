"""Keeps storages as the rows say, whatever crashed: generators of findings, which print nothing.

`drain` deletes what rows have released; `sweep` finds what was stored and never committed;
`compare` compares everything, both ways; `status` says how things stand; `forget` removes the
signature of a database that is gone. Those with an ``a`` in front are for `AsyncSession`.
"""

from sqlalchemy_file.reconcile.asynchronous import acompare, adrain, astatus, asweep
from sqlalchemy_file.reconcile.drain import drain
from sqlalchemy_file.reconcile.findings import Finding, Progress
from sqlalchemy_file.reconcile.forgetting import forget
from sqlalchemy_file.reconcile.full import compare
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
