"""Freezes dataset versions and runs trainings."""
