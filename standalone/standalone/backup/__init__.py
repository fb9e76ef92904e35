"""Backup and restore of one platform's folder: databases, event log with its offsets, objects and keys, as of one moment."""
