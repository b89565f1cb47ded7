"""Users and jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", _Id, primary_key=True),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("served", sa.DateTime),
        # An id is never given twice: it names files.
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        sa.Column("id", _Id, primary_key=True),
        sa.Column("user_id", _Id, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("key", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("context", sa.String(255), nullable=False),
        sa.Column("dialect", sa.String(20), nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("translated", sa.JSON, nullable=False),
        sa.Column("task_name", sa.String(255), nullable=False),
        sa.Column("groups", sa.JSON, nullable=False),
        sa.Column("may_write", sa.Boolean, nullable=False),
        sa.Column("estimate", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("output_type", sa.String(40), nullable=False),
        sa.Column("params", sa.String(1000), nullable=False),
        sa.Column("into", sa.String(255), nullable=False),
        sa.Column("send_email", sa.Boolean, nullable=False),
        sa.Column("auto_complete", sa.Boolean, nullable=False),
        sa.Column("host_ip", sa.String(64), nullable=False),
        sa.Column("time_submit", sa.DateTime, nullable=False),
        sa.Column("time_start", sa.DateTime),
        sa.Column("time_end", sa.DateTime),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("created_table", sa.Text, nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("statement", sa.Integer, nullable=False),
        sa.Column("statements", sa.Integer, nullable=False),
        sa.Column("fraction", sa.Float),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("lease_until", sa.DateTime),
        sa.Column("results", sa.JSON, nullable=False),
        sa.Column("results_until", sa.DateTime),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_user_id_id", "jobs", ["user_id", "id"])
    op.create_index("ix_jobs_status_kind_user_id_id", "jobs", ["status", "kind", "user_id", "id"])
    op.create_index("ix_jobs_results_until", "jobs", ["results_until"])


def downgrade() -> None:
    op.drop_table("jobs")
    op.drop_table("users")
