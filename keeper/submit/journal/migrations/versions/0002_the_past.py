"""The past that decisions used"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    wide = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "past",
        sa.Column("id", wide, nullable=False),
        sa.Column("vault_id", wide, nullable=False),
        sa.Column("intent_id", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["vault_id"], ["vault.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("past_by_vault", "past", ["vault_id", "id"])
    # No foreign key: SQLite adds none to a table that stands, and to make the table anew would drop what refers to it.
    op.add_column("decision", sa.Column("past_id", sa.BigInteger(), nullable=True))
    op.create_index("decision_by_past", "decision", ["past_id"])
