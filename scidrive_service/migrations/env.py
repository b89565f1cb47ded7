"""Run by Alembic with the connection that `Store` hands over."""

from alembic import context

from scidrive_service.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # The tables may be in the hub's own database, whose version has the usual name.
    version_table="scidrive_version",
)
with context.begin_transaction():
    context.run_migrations()
