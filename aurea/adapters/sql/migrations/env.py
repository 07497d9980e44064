"""How Alembic runs the revisions: on the connection, and in the transaction, that `migrate` hands over."""

from alembic import context

from aurea.adapters.sql.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
