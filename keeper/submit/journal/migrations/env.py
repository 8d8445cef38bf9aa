"""What alembic runs: on the connection that `Store` hands over."""

from alembic import context

from keeper.submit.journal.models import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
