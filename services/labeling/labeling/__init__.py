"""Puts edge cases before radiologists, and keeps what they answer: tasks, leases, drafts, label versions."""
