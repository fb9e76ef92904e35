"""Associations we request; the one way to do so is `ingest`'s."""

from ingest.adapters.association import associate

__all__ = ["associate"]
