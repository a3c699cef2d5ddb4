"""The same promise for every way in which SQLAlchemy maps a class."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Integer, MetaData, String, Table, inspect, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    configure_mappers,
    mapped_column,
    registry,
    synonym,
    validates,
)
from sqlmodel import Session as SQLModelSession

from sqlalchemy_file import File, FileField

from .models import (
    Asset,
    Badge,
    Car,
    Company,
    Document,
    Item,
    Letter,
    Person,
    Poster,
    Recording,
    Scan,
    Upload,
    Vehicle,
    Video,
)
from .table import Group
from .world import World

scenario = Group(name="mapping")


def _lives_through(world: World, row: Any, *names: str) -> None:
    """Insert a row, replace each of its files, undo that, clear one, and delete the row."""
    with world.session() as session:
        for name in names:
            setattr(row, name, world.file(f"old {name}"))
        session.add(row)
        session.commit()
        assert _opened(world, row, names) == [f"old {name}" for name in names]
        world.check()
        assert len(world.objects()) == len(names)
        for end in ("rollback", "commit"):
            _replace_all(world, row, names)
            session.flush()
            assert len(world.objects()) == 2 * len(names)
            getattr(session, end)()
            world.check()
        assert _opened(world, row, names) == [f"new {name}" for name in names]
        setattr(row, names[0], None)
        session.commit()
        world.check()
        assert len(world.objects()) == len(names) - 1
        session.delete(row)
        session.commit()
    assert world.objects() == {}


def _replace_all(world: World, row: Any, names: tuple[str, ...]) -> None:
    for name in names:
        setattr(row, name, world.file(f"new {name}"))


def _opened(world: World, row: Any, names: tuple[str, ...]) -> list[str]:
    return [world.opens(getattr(row, name)) for name in names]


@scenario
def joined_inheritance(world: World) -> None:
    _lives_through(world, Video(), "preview", "movie")


@scenario
def joined_inheritance_of_the_parents_column_alone(world: World) -> None:
    key = world.save(Video(preview=world.file("preview"), movie=world.file("movie")))
    movie = world.path(Video.movie)
    with world.session() as session:
        session.get_one(Asset, key).preview = world.file("new preview")
        session.commit()
        world.check()
        session.get_one(Video, key).movie = None
        session.commit()
    assert world.label(Asset.preview) == "new preview"
    assert movie not in world.objects()


@scenario
def joined_inheritance_deleted_through_the_parent(world: World) -> None:
    keys = [
        world.save(Asset(preview=world.file("plain"))),
        world.save(Video(preview=world.file("preview"), movie=world.file("movie"))),
    ]
    with world.session() as session:
        for key in keys:
            session.delete(session.get_one(Asset, key))
        session.commit()
    assert world.objects() == {}


@scenario
def a_child_with_a_column_of_its_parents_name(world: World) -> None:
    _lives_through(world, Poster(), "preview", "large_preview")


@scenario
def single_table_inheritance(world: World) -> None:
    for row, names in (
        (Upload(), ("content",)),
        (Scan(), ("content", "sheet")),
        (Recording(), ("content", "sheet")),
    ):
        _lives_through(world, row, *names)


@scenario
def a_child_that_declares_its_siblings_column_again(world: World) -> None:
    world.save(Scan(sheet=world.file("scan")), Recording(sheet=world.file("recording")))
    with world.session() as session:
        for row in session.scalars(select(Upload)):
            row.sheet = world.file(f"new {row.kind}")  # type: ignore[attr-defined]
        session.commit()
    assert world.labels(Scan.sheet) == ["new scan", "new recording"]


@scenario
def single_table_child_with_a_list(world: World) -> None:
    key = world.save(Recording(sounds=[world.file("a"), world.file("b")]))
    with world.session() as session:
        row = session.get_one(Upload, key)
        assert isinstance(row, Recording)
        row.sounds.append(world.file("c"))
        session.commit()
    assert world.label(Recording.sounds) == ["a", "b", "c"]


@scenario
def concrete_inheritance(world: World) -> None:
    _lives_through(world, Car(), "papers")
    _lives_through(world, Vehicle(), "papers")
    world.save(Car(papers=world.file("car")), Vehicle(papers=world.file("vehicle")))
    assert (world.label(Car.papers), world.label(Vehicle.papers)) == ("car", "vehicle")


@scenario
def mixins(world: World) -> None:
    for model in (Person, Company):
        _lives_through(world, model(), "avatar")
    for model in (Person, Company):
        key = world.save(model(gallery=[world.file("a"), world.file("b")]))
        with world.session() as session:
            row = session.get_one(model, key)
            row.gallery.pop(0)
            session.commit()
        assert world.label(model.gallery) == ["b"]


@scenario
def mapped_dataclass(world: World) -> None:
    _lives_through(world, Badge(name="it"), "photo")
    key = world.save(Badge(photo=world.file("photo"), photos=[world.file("a")]))
    with world.session() as session:
        badge = session.get_one(Badge, key)
        assert badge == badge  # noqa: PLR0124
        assert "Badge" in repr(badge)
        badge.photos.append(world.file("b"))
        session.commit()
    assert (world.label(Badge.photo), world.label(Badge.photos)) == ("photo", ["a", "b"])


@scenario
def column_property_and_deferred_column(world: World) -> None:
    _lives_through(world, Letter(), "envelope", "sheet")


@scenario
def column_property_that_reads_another_table(world: World) -> None:
    """It can be opened, and owns nothing."""
    (key,) = world.save(Document(attachment=world.file("enclosed")))
    letter_key = world.save(Letter(document_id=key, sheet=world.file("sheet")))
    with world.session() as session:
        letter = session.get_one(Letter, letter_key)
        assert world.opens(letter.enclosure) == "enclosed"  # type: ignore[attr-defined]
        letter.sheet = None
        session.commit()
        session.delete(letter)
        session.commit()
    assert world.labels(Document.attachment) == ["enclosed"]


@scenario
def sqlmodel(world: World) -> None:
    _lives_through(world, Item(), "photo")
    with SQLModelSession(world.engine) as session:
        item = Item(photo=world.file("photo"), photos=[world.file("a"), world.file("b")])
        session.add(item)
        session.commit()
        item.photos.reverse()
        session.commit()
        session.refresh(item)
        assert [world.opens(file) for file in item.photos] == ["b", "a"]
        item.photo = world.file("never committed")
        session.flush()
        session.rollback()
    assert (world.label(Item.photo), world.label(Item.photos)) == ("photo", ["b", "a"])


@scenario
def mapped_late_by_declaration(world: World) -> None:
    """The class appears after mappers were configured and sessions were at work."""
    configure_mappers()
    world.save(Document(attachment=world.file("before")))

    class Base(DeclarativeBase):
        pass

    class Late(Base):
        __tablename__ = "late"

        id: Mapped[int] = mapped_column(primary_key=True)
        paper: Mapped[File | None] = mapped_column(FileField())
        papers: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))

    world.create(Late.__table__)  # type: ignore[arg-type]
    _lives_through_beside_others(world, Late(), "paper")
    key = world.save(Late(papers=[world.file("a")]))
    with world.session() as session:
        late = session.get_one(Late, key)
        late.papers.append(world.file("b"))
        session.commit()
    assert world.label(Late.papers) == ["a", "b"]


def _lives_through_beside_others(world: World, row: Any, name: str) -> None:
    before = set(world.objects())
    with world.session() as session:
        setattr(row, name, world.file("old"))
        session.add(row)
        session.commit()
        setattr(row, name, world.file("new"))
        session.commit()
        world.check()
        session.delete(row)
        session.commit()
    assert set(world.objects()) == before


@scenario
def mapped_imperatively(world: World) -> None:
    class Thing:
        id: int
        image: File | None
        images: Any

    table = Table(
        "thing",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("name", String(20)),
        Column("image_json", FileField()),
        Column("images", FileField(multiple=True)),
    )
    registry().map_imperatively(Thing, table, properties={"image": table.c.image_json})
    world.create(table)
    _lives_through_beside_others(world, Thing(), "image")
    thing = Thing()
    thing.image, thing.images = world.file("one"), [world.file("a"), world.file("b")]
    key = world.save(thing)
    with world.session() as session:
        thing = session.get_one(Thing, key)
        thing.images.pop(0)
        session.commit()
    assert world.label(Thing.images) == ["b"]


@scenario
def a_column_added_to_a_class_that_is_mapped(world: World) -> None:
    class Base(DeclarativeBase):
        pass

    class Growing(Base):
        __tablename__ = "growing"

        id: Mapped[int] = mapped_column(primary_key=True)

    configure_mappers()
    Growing.paper = mapped_column(FileField())  # type: ignore[attr-defined]
    world.create(Growing.__table__)  # type: ignore[arg-type]
    _lives_through_beside_others(world, Growing(), "paper")


@scenario
def a_synonym_and_a_validating_property(world: World) -> None:
    class Base(DeclarativeBase):
        pass

    class Wrapped(Base):
        __tablename__ = "wrapped"

        id: Mapped[int] = mapped_column(primary_key=True)
        _paper: Mapped[File | None] = mapped_column("paper", FileField())
        other_name = synonym("_paper")

        @property
        def paper(self) -> File | None:
            return self._paper

        @paper.setter
        def paper(self, value: File | None) -> None:
            self._paper = value

    world.create(Wrapped.__table__)  # type: ignore[arg-type]
    for name in ("paper", "other_name"):
        _lives_through_beside_others(world, Wrapped(), name)


@scenario
def a_validates_method_that_exchanges_the_file(world: World) -> None:
    class Base(DeclarativeBase):
        pass

    class Guarded(Base):
        __tablename__ = "guarded"

        id: Mapped[int] = mapped_column(primary_key=True)
        paper: Mapped[File | None] = mapped_column(FileField())
        papers: Mapped[list[File] | None] = mapped_column(FileField(multiple=True))

        @validates("paper", "papers")
        def stamp(self, _key: str, value: Any) -> Any:
            if isinstance(value, list):
                return [*value, world.file("stamp")]
            return value and world.file("stamped")

    world.create(Guarded.__table__)
    key = world.save(Guarded(paper=world.file("it"), papers=[world.file("a")]))
    with world.session() as session:
        row = session.get_one(Guarded, key)
        assert world.opens(row.paper) == "stamped"
        row.paper = None
        row.papers.append(world.file("b"))
        session.commit()
    assert (world.label(Guarded.paper), world.label(Guarded.papers)) == (None, ["a", "stamp", "b"])


@scenario
def a_default_that_makes_a_file_works_or_is_refused(world: World) -> None:
    class Base(DeclarativeBase):
        pass

    class Defaulted(Base):
        __tablename__ = "defaulted"

        id: Mapped[int] = mapped_column(primary_key=True)
        paper: Mapped[File | None] = mapped_column(
            FileField(), default=lambda: world.file("default")
        )

    world.create(Defaulted.__table__)
    world.save(Defaulted(paper=world.file("given")))
    try:
        world.save(Defaulted())
    except StatementError:
        assert world.labels(Defaulted.paper) == ["given"]
    else:
        assert world.labels(Defaulted.paper) == ["given", "default"]


@scenario
def two_classes_on_one_table(world: World) -> None:
    """A small class for lists, a whole one for the rest; both change the same rows."""

    class Base(DeclarativeBase):
        pass

    class Whole(Base):
        __tablename__ = "whole"

        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str | None] = mapped_column(String(20))
        paper: Mapped[File | None] = mapped_column(FileField())

    class Small(Base):
        __table__ = Whole.__table__
        __mapper_args__ = {"include_properties": ["id", "name"]}  # noqa: RUF012

    world.create(Whole.__table__)  # type: ignore[arg-type]
    keys = [world.save(Whole(paper=world.file(label))) for label in "ab"]
    with world.session() as session:
        session.get_one(Small, keys[0]).name = "renamed"  # type: ignore[attr-defined]
        session.commit()
        world.check()
        session.delete(session.get_one(Small, keys[1]))
        session.commit()
    assert world.labels(Whole.paper) == ["a"]


@scenario
def a_subclass_of_file(world: World) -> None:
    class Invoice(File):
        """A file with a behaviour of its own."""

        @property
        def title(self) -> str:
            return str(self.filename).title()

    class Base(DeclarativeBase):
        pass

    class Bill(Base):
        __tablename__ = "bill"

        id: Mapped[int] = mapped_column(primary_key=True)
        paper: Mapped[Any] = mapped_column(FileField(upload_type=Invoice))

    world.create(Bill.__table__)  # type: ignore[arg-type]
    key = world.save(Bill(paper=Invoice(b"", filename="june.txt")))
    with world.session() as session:
        bill = session.get_one(Bill, key)
        assert isinstance(bill.paper, Invoice)
        assert bill.paper.title == "June.Txt"
        bill.paper = world.file("plain")
        session.commit()
        assert isinstance(bill.paper, Invoice)
    assert world.label(Bill.paper) == "plain"


@scenario
def aliased_and_joined_queries(world: World) -> None:
    """Files can be read through any query, and are then changed like all others."""
    world.save(Document(title="a", attachment=world.file("a")))
    with world.session() as session:
        alias = aliased(Document)
        row = session.scalars(select(alias).where(alias.title == "a")).one()
        (file,) = session.execute(select(alias.attachment)).scalars()
        assert world.opens(file) == "a"
        row.attachment = world.file("b")
        session.commit()
    assert world.label(Document.attachment) == "b"


@scenario
def history_and_inspection_touch_no_storage(world: World) -> None:
    key = world.save(Document(attachment=world.file("old")))
    flaky = world.make_flaky()
    with world.session() as session:
        row = session.get_one(Document, key)
        row.attachment = world.file("new")
        history = inspect(row).attrs.attachment.history
        assert history.has_changes()
        assert session.is_modified(row)
        assert flaky.calls == []
        session.rollback()
    assert world.label(Document.attachment) == "old"


@scenario
def a_session_class_of_ones_own(world: World) -> None:
    class Audited(Session):
        """Overrides what many programs override."""

        def flush(self, objects: Any = None) -> None:
            super().flush(objects)

        def commit(self) -> None:
            self.flush()
            super().commit()

    with Audited(world.engine) as session:
        document = Document(attachment=world.file("first"))
        session.add(document)
        session.commit()
        document.attachment = world.file("second")
        session.flush()
        session.rollback()
    assert world.label(Document.attachment) == "first"
