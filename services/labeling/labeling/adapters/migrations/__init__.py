"""Alembic revisions of the service's own schema."""
