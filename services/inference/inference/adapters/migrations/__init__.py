"""Migrations of the service's schema."""
