"""Alembic revisions of the control plane's schema, run at the start of the service."""
