"""What directories cannot say about volumes, as the metadata database holds it."""

from __future__ import annotations

import datetime
import uuid

from sqlalchemy import JSON, BigInteger, DateTime, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> datetime.datetime:
    """UTC without a zone, as the columns hold it."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """Base of the tables; `migrations` must follow every change to them."""


# SQLite counts by itself only in a column that is declared exactly INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")


def _volume(*, primary_key: bool = False) -> Mapped[int]:
    return mapped_column(_Id, ForeignKey("volumes.id", ondelete="CASCADE"), primary_key=primary_key)


class Volume(Base):
    """A user's volume.

    Attributes
    ----------
    id
        Never given twice: whatever belongs to a volume belongs to this one, and not to a later one of the same name.
    uuid
        Contract's ``resourceUUID``.
    root, owner, name
        Its directory is ``<volumes>/<root>/<owner>/<name>``; for SciDrive, which has one volume for each user, the
        name is empty.
    """

    __tablename__ = "volumes"
    __table_args__ = (UniqueConstraint("root", "owner", "name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    uuid: Mapped[str] = mapped_column(String(36), default=lambda: str(uuid.uuid4()))
    root: Mapped[str] = mapped_column(String(63))
    owner: Mapped[str] = mapped_column(String(63))
    name: Mapped[str] = mapped_column(String(63))
    description: Mapped[str] = mapped_column(Text, default="")
    created: Mapped[datetime.datetime] = mapped_column(DateTime, default=now)


class Share(Base):
    """What somebody, or everybody in a group, may do with a volume of another user.

    Attributes
    ----------
    kind
        ``USER`` or ``GROUP``, as in the contract.
    actions
        Contract's names with commas, in their order there.
    """

    __tablename__ = "shares"
    __table_args__ = (UniqueConstraint("volume_id", "kind", "name"), Index("ix_shares_kind_name", "kind", "name"))

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    volume_id: Mapped[int] = _volume()
    kind: Mapped[str] = mapped_column(String(5))
    name: Mapped[str] = mapped_column(String(255))
    actions: Mapped[str] = mapped_column(String(40))


class Link(Base):
    """A capability: whoever has its address reads one file, or the files below one folder.

    Attributes
    ----------
    digest
        SHA-256 of the id in the address: the database alone opens nothing.
    path
        Percent-encoded, because names need not be text.
    maker, groups
        Who made it, and the hub's groups they were in when they were last seen: the link ends when they lose access.
    """

    __tablename__ = "links"
    __table_args__ = (Index("ix_links_expires", "expires"), Index("ix_links_maker", "maker"))

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    volume_id: Mapped[int] = _volume()
    path: Mapped[str] = mapped_column(Text)
    maker: Mapped[str] = mapped_column(String(255))
    groups: Mapped[list[str]] = mapped_column(JSON, default=list)
    created: Mapped[datetime.datetime] = mapped_column(DateTime, default=now)
    expires: Mapped[datetime.datetime] = mapped_column(DateTime)


class Property(Base):
    """A dead property of WebDAV: a client's own note on a file or folder.

    Attributes
    ----------
    path
        Percent-encoded, as all paths here.
    key
        SHA-256 of path and name: both may be longer than an index takes.
    name
        ``{namespace}name``.
    value
        XML.
    """

    __tablename__ = "properties"
    __table_args__ = (UniqueConstraint("volume_id", "key"),)

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    volume_id: Mapped[int] = _volume()
    path: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(Text)
    value: Mapped[str] = mapped_column(Text)


class Warned(Base):
    """A file that will be removed by its root volume's rule, and since when its owner could know.

    Attributes
    ----------
    key
        SHA-256 of the path.
    created
        Of the file, seconds since 1970: another file of the same name has another one, and its own warning.
    size
        Bytes.
    due
        When the rule removes it at the earliest.
    since
        First listed as expiring.
    """

    __tablename__ = "warned"

    volume_id: Mapped[int] = _volume(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    path: Mapped[str] = mapped_column(Text)
    created: Mapped[float] = mapped_column(Float(53))
    size: Mapped[int] = mapped_column(BigInteger)
    due: Mapped[datetime.datetime] = mapped_column(DateTime)
    since: Mapped[datetime.datetime] = mapped_column(DateTime, default=now)


class Project(Base):
    """A number for the file system's project quota; it is `Project.id` above a base.

    Attributes
    ----------
    scope
        What is counted together: ``<owner>/<root>``, or ``<owner>/<root>/<volume's id>``.
    """

    __tablename__ = "projects"
    __table_args__ = {"sqlite_autoincrement": True}

    id: Mapped[int] = mapped_column(_Id, primary_key=True)
    scope: Mapped[str] = mapped_column(String(255), unique=True)
