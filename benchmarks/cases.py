"""What is measured: the work, how much of it, by whom, and what is to be reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

KB, MB, GB = 1_000, 1_000_000, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One contender in one case."""

    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    share: int = 1
    """The slow ones do this part of the work only; figures are for each file all the same."""


OURS = Entry("ours")
FLOOR = Entry("floor")
OLD = Entry("release_0_7")
DEPOT = Entry("filedepot")
AA = Entry("advanced_alchemy")
ALL = {"ours": OURS, "floor": FLOOR, "0.7.0": OLD, "filedepot": DEPOT, "advanced-alchemy": AA}


def some(*names: str, **others: Entry) -> dict[str, Entry]:
    return {**{name: ALL[name] for name in names}, **others}


@dataclass(frozen=True, slots=True)
class Faster:
    """Ours is to be at least so many times as fast as another."""

    other: str
    times: float


@dataclass(frozen=True, slots=True)
class AtMost:
    """What is measured of ours is to be no more than this."""

    measure: str
    limit: float
    unit: str


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    name: str
    title: str
    work: str
    n: int
    size: int = 10 * KB
    entries: Mapping[str, Entry] = field(default_factory=lambda: ALL)
    options: Mapping[str, Any] = field(default_factory=lambda: {"storage": "local"})
    targets: tuple[Faster | AtMost, ...] = ()
    group: str = "main"
    measure: str = "seconds"
    rounds: int = 5
    needs: Literal["", "postgresql", "s3", "far s3", "photo", "progressive photo"] = ""
    repeats: bool = True
    """Whether rounds in which the floor was far off can be done again."""


def _loads() -> list[Case]:
    target = (Faster("floor", 0.9),)
    title = "load 10,000 rows with a file column, {}"
    database = {"storage": "local", "database": ""}
    return [
        Case(
            "load_sqlite", title.format("SQLite"), "load", 10_000, options=database, targets=target
        ),
        Case(
            "load_psycopg",
            title.format("psycopg"),
            "load",
            10_000,
            options=database,
            targets=target,
            needs="postgresql",
        ),
        Case(
            "load_asyncpg",
            title.format("asyncpg"),
            "load_async",
            10_000,
            entries=some("ours", "floor"),
            options=database,
            targets=target,
            needs="postgresql",
        ),
    ]


def _local() -> list[Case]:
    return [
        Case(
            "save_local",
            "save 2,000 files of 10 KB in one flush, local folder, not synced",
            "save",
            2_000,
            targets=(Faster("floor", 0.7),),
        ),
        Case(
            "save_synced",
            "the same, synced to disk; the floor syncs in 8 threads",
            "save",
            2_000,
            entries=some("ours", "floor"),
            options={"storage": "local-synced"},
            targets=(Faster("floor", 0.85),),
        ),
        Case(
            "save_libcloud",
            "the same through libcloud's Local container (two files each), not synced",
            "save",
            2_000,
            entries=some("ours", "0.7.0"),
            options={"storage": "libcloud-unsynced"},
            targets=(Faster("0.7.0", 2),),
        ),
        Case(
            "save_libcloud_synced",
            "the same, ours synced to disk",
            "save",
            2_000,
            entries=some("ours", "0.7.0"),
            options={"storage": "libcloud"},
            targets=(Faster("0.7.0", 1.5),),
        ),
        Case(
            "read_local",
            "read 2,000 files of 10 KB",
            "read",
            2_000,
            targets=(Faster("floor", 0.9),),
        ),
        Case(
            "stream_local",
            "512 MB from a file object, not synced; the floor copies and hashes in turn",
            "save_large",
            1,
            512 * MB,
            targets=(Faster("floor", 1.0),),
        ),
        Case(
            "stream_synced",
            "the same, synced to disk",
            "save_large",
            1,
            512 * MB,
            entries=some("ours", "floor"),
            options={"storage": "local-synced"},
            targets=(Faster("floor", 1.0),),
        ),
    ]


def _s3() -> list[Case]:
    slow = Entry("release_0_7", share=5)
    far = {"ours": OURS, "floor": FLOOR, "0.7.0": slow, "advanced-alchemy": AA}
    without_aa = {"ours": OURS, "floor": FLOOR, "0.7.0": Entry("release_0_7", share=10)}
    plain_floor = Entry("floor", {"storage": "obstore"})
    through_libcloud = {"ours": OURS, "floor": plain_floor, "0.7.0": slow}
    delete_libcloud = {**without_aa, "floor": plain_floor}
    obstore, libcloud = {"storage": "obstore"}, {"storage": "libcloud-s3"}
    title = "save 200 files of 100 KB in one flush, S3 {}"
    return [
        Case(
            "s3_save",
            title.format("near by, obstore"),
            "save",
            200,
            100 * KB,
            far,
            obstore,
            needs="s3",
        ),
        Case(
            "s3_save_far",
            title.format("with 20 ms a request, obstore"),
            "save",
            200,
            100 * KB,
            far,
            obstore,
            (Faster("floor", 0.9), Faster("0.7.0", 50)),
            needs="far s3",
        ),
        Case(
            "s3_save_libcloud",
            title.format("near by, libcloud's MinIO container"),
            "save",
            200,
            100 * KB,
            through_libcloud,
            libcloud,
            needs="s3",
        ),
        Case(
            "s3_save_libcloud_far",
            title.format("with 20 ms a request, libcloud's MinIO container"),
            "save",
            200,
            100 * KB,
            through_libcloud,
            libcloud,
            (Faster("0.7.0", 25),),
            needs="far s3",
        ),
        Case(
            "s3_delete_far",
            "delete 1,000 rows with their objects, S3 with 20 ms a request, obstore",
            "delete",
            1_000,
            1 * KB,
            without_aa,
            obstore,
            (Faster("0.7.0", 100),),
            needs="far s3",
            repeats=False,
        ),
        Case(
            "s3_delete_libcloud_far",
            "the same through libcloud's MinIO container",
            "delete",
            1_000,
            1 * KB,
            delete_libcloud,
            libcloud,
            (Faster("0.7.0", 80),),
            needs="far s3",
            repeats=False,
        ),
    ]


def _images() -> list[Case]:
    three = some("ours", "floor", "0.7.0")
    title = "save a {}24-megapixel JPEG and {}"
    two = {
        "ours": Entry("ours", {"sizes": [1024, 128]}),
        "ours, one size": Entry("ours", {"sizes": [1024]}),
        "floor": Entry("floor", {"sizes": [1024, 128]}),
    }

    def case(name: str, title: str, sizes: list[int], target: Faster, photo: Any) -> Case:
        options = {"storage": "local", "sizes": sizes}
        entries = two if len(sizes) > 1 else three
        return Case(name, title, "thumbnail", 1, 0, entries, options, (target,), needs=photo)

    return [
        case("image_128", title.format("", "a copy of 128 px"), [128], Faster("0.7.0", 5), "photo"),
        case(
            "image_1024",
            title.format("", "a copy of 1024 px"),
            [1024],
            Faster("0.7.0", 1.4),
            "photo",
        ),
        case(
            "image_progressive",
            title.format("progressive ", "a copy of 1024 px"),
            [1024],
            Faster("0.7.0", 2),
            "progressive photo",
        ),
        case(
            "image_two",
            title.format("", "copies of 1024 and 128 px"),
            [1024, 128],
            Faster("ours, one size", 0.8),
            "photo",
        ),
    ]


def _stalls() -> list[Case]:
    title = "200 files of 10 KB and one of 512 MB under AsyncSession, {}: {}"
    kinds = {
        "local": ("local-synced", some("ours", "floor", "0.7.0"), ""),
        "obstore": ("obstore", some("ours"), "s3"),
        "libcloud": ("libcloud-s3", some("ours"), "s3"),  # 0.7.0 gives up after a minute
    }
    return [
        Case(
            f"stall_{kind}",
            title.format(f"{kind} storage", "the event loop's worst stall"),
            "stall",
            200,
            10 * KB,
            entries,
            {"storage": storage, "large": 512 * MB},
            (AtMost("worst", 20, "ms"), AtMost("percentile_99", 5, "ms")),
            "stall",
            "worst",
            needs=needs,  # type: ignore[arg-type]
            repeats=False,
        )
        for kind, (storage, entries, needs) in kinds.items()
    ]


def _memory() -> list[Case]:
    storages = {
        "local": ("local-synced", ""),
        "libcloud_local": ("libcloud", ""),
        "obstore": ("obstore", "s3"),
        "libcloud_s3": ("libcloud-s3", "s3"),
        "fsspec_local": ("fsspec", ""),
        "fsspec_s3": ("fsspec-s3", "s3"),
    }
    ways = {"save_large": "saved", "read_large": "read"}
    return [
        Case(
            f"memory_{storage}_{way}",
            f"peak memory while 2 GB are {way}, {storage.replace('_', ' ')} storage",
            work,
            1,
            2 * GB,
            some("ours"),
            {"storage": kind, "memory": True},
            (AtMost("megabytes", 40, "MB"),),
            "memory",
            "megabytes",
            1,
            needs,  # type: ignore[arg-type]
            repeats=False,
        )
        for storage, (kind, needs) in storages.items()
        for work, way in ways.items()
    ]


def _memory_of_many() -> list[Case]:
    title = "peak memory while 24 files of 100 MB are saved in one flush, {} storage{}"
    limits = {None: "", 2: ", at most 2 at a time"}
    return [
        Case(
            f"memory_many_{storage}{f'_{limit}' if limit else ''}".replace("-", "_"),
            title.format(storage, words),
            "save_many_large",
            24,
            100 * MB,
            some("ours"),
            {"storage": storage, "limit": limit},
            (),
            "memory",
            "megabytes",
            1,
            needs,  # type: ignore[arg-type]
            repeats=False,
        )
        for storage, needs in {"local-synced": "", "obstore": "s3", "libcloud-s3": "s3"}.items()
        for limit, words in limits.items()
    ]


def _served() -> list[Case]:
    sizes = {"small": (20_000, 100 * KB, "100 KB"), "large": (400, 100 * MB, "100 MB")}
    storages = {"local": ("local", 1.0, ""), "s3": ("obstore", 0.9, "s3")}
    return [
        Case(
            f"served_{kind}_{size}",
            f"200 downloads at once of a file of {named}, a third of them ranges, "
            f"{storage} storage",
            "serve",
            n if kind == "local" else n // 4,
            length,
            some("ours", "floor"),
            {"storage": storage, "at_once": 200},
            (
                Faster("floor", ratio),
                AtMost("megabytes", 40, "MB"),
                AtMost("worst", 20, "ms"),
            ),
            "served",
            rounds=3,
            needs=needs,  # type: ignore[arg-type]
            repeats=False,
        )
        for kind, (storage, ratio, needs) in storages.items()
        for size, (n, length, named) in sizes.items()
    ] + [
        Case(
            "served_s3_slow",
            "peak memory while 200 clients download 300 KB/s each for 20 seconds, obstore storage",
            "serve",
            200,
            100 * MB,
            some("ours", "floor"),
            {"storage": "obstore", "at_once": 200, "rate": 300 * KB, "seconds": 20},
            (AtMost("megabytes", 40, "MB"),),
            "served",
            measure="megabytes",
            rounds=3,
            needs="s3",
            repeats=False,
        )
    ]


def _growth() -> list[Case]:
    two = some("ours", "floor")
    flushes = [
        Case(
            f"flush_{n}",
            f"{n:,} files of 10 KB in one flush",
            "save",
            n,
            entries=two,
            group="flush",
        )
        for n in (100, 1_000, 10_000)
    ]
    loads = [
        Case(
            f"rows_{n}",
            f"{n:,} rows loaded",
            "load",
            n,
            entries=two,
            options={"storage": "local", "database": "", "yield_per": 1_000},
            group="rows",
        )
        for n in (1_000, 10_000, 100_000, 1_000_000)
    ]
    names = {KB: "1 KB", 100 * KB: "100 KB", 10 * MB: "10 MB", 200 * MB: "200 MB", 2 * GB: "2 GB"}
    sizes = [
        Case(f"size_{size}", f"one file of {name}", "save_large", 1, size, two, group="sizes")
        for size, name in names.items()
    ]
    return [*flushes, *loads, *sizes]


def _ledger() -> list[Case]:
    entries = {"ours": OURS, "with the ledger": Entry("ours", {"ledger": True})}
    works = {True: "replaces one file of 10 KB", False: "adds one file of 10 KB, and releases none"}
    return [
        Case(
            f"ledger_{'released' if replaces else 'added'}",
            f"a commit that {what}, SQLite",
            "commits",
            300,
            entries=entries,
            options={"storage": "local", "ledger": False, "replaces": replaces},
            group="ledger",
        )
        for replaces, what in works.items()
    ]


def _single() -> list[Case]:
    two = some("ours", "floor")
    row = "one row with one file of 10 KB, session to commit, local folder, not synced"
    plain = "a table without files, SQLite in memory"
    works: dict[str, tuple[str, int, tuple[Faster, ...]]] = {
        "one_row": (f"{row}, processor time", 300, (Faster("floor", 0.55),)),
        "one_row_async": ("the same under AsyncSession", 300, (Faster("floor", 0.7),)),
        "plain_core": (f"Core insert and select, {plain}, processor time", 5_000, ()),
        "plain_session": (f"session, add, commit, {plain}", 1_000, (Faster("floor", 0.89),)),
        "imports": ("import of the library; of sqlalchemy.orm", 3, (Faster("floor", 0.9),)),
        # The library alone loads next to nothing; these load what a program with files begins with.
        "imports_names": ("import of FileField and StorageManager; the same", 3, ()),
    }
    return [
        Case(work, title, work, n, entries=two, targets=targets, group="single")
        for work, (title, n, targets) in works.items()
    ]


def _deletions() -> list[Case]:
    return [
        Case(
            "delete_local",
            "delete 2,000 rows with their files",
            "delete",
            2_000,
            targets=(Faster("0.7.0", 2), Faster("advanced-alchemy", 1)),
            repeats=False,
        )
    ]


# Deletions come last: some file systems are slow at new files after them.
CASES: list[Case] = [
    *_loads(),
    *_local(),
    *_images(),
    *_s3(),
    *_single(),
    *_stalls(),
    *_served(),
    *_growth(),
    *_ledger(),
    *_memory(),
    *_memory_of_many(),
    *_deletions(),
]
