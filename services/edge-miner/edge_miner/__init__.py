"""Finds the cases a reader's hour is best spent on, and keeps the books that show whether it does."""
