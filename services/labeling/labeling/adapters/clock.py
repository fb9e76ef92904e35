"""The machine's clock."""

from datetime import UTC, datetime


class SystemClock:
    """Tells the time of the machine, in UTC."""

    def now(self) -> datetime:
        """Return the time."""
        return datetime.now(UTC)
