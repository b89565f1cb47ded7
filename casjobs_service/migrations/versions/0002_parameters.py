"""Parameters of jobs, and how many rows their clients want."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Jobs that are there already have neither.
    op.add_column("jobs", sa.Column("parameters", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("jobs", sa.Column("row_limit", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("jobs", "row_limit")
    op.drop_column("jobs", "parameters")
