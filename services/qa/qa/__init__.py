"""Decides which labels may train."""
