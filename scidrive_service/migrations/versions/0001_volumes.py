"""Volumes, and what belongs to them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _volume(*, primary_key: bool = False) -> sa.Column:
    owner = sa.ForeignKey("volumes.id", ondelete="CASCADE")
    return sa.Column("volume_id", _Id, owner, primary_key=primary_key, nullable=False)


def upgrade() -> None:
    op.create_table(
        "volumes",
        sa.Column("id", _Id, primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("root", sa.String(63), nullable=False),
        sa.Column("owner", sa.String(63), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.UniqueConstraint("root", "owner", "name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "shares",
        sa.Column("id", _Id, primary_key=True),
        _volume(),
        sa.Column("kind", sa.String(5), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("actions", sa.String(40), nullable=False),
        sa.UniqueConstraint("volume_id", "kind", "name"),
    )
    op.create_index("ix_shares_kind_name", "shares", ["kind", "name"])
    op.create_table(
        "links",
        sa.Column("digest", sa.String(64), primary_key=True),
        _volume(),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("maker", sa.String(255), nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("expires", sa.DateTime, nullable=False),
    )
    op.create_index("ix_links_expires", "links", ["expires"])
    op.create_index("ix_links_maker", "links", ["maker"])
    op.create_table(
        "properties",
        sa.Column("id", _Id, primary_key=True),
        _volume(),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.UniqueConstraint("volume_id", "key"),
    )
    op.create_table(
        "warned",
        _volume(primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("due", sa.DateTime, nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
    )
    op.create_table(
        "projects",
        sa.Column("id", _Id, primary_key=True),
        sa.Column("scope", sa.String(255), nullable=False, unique=True),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    for table in ("projects", "warned", "properties", "links", "shares", "volumes"):
        op.drop_table(table)
