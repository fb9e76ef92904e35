"""The settings of labeling, `LABELING_*`; what all services share is in `.shared`."""

from pydantic import Field

from radloop.settings import ServiceSettings, settings_config


class LabelingSettings(ServiceSettings):
    """What an operator may set."""

    model_config = settings_config("LABELING_")

    upload_max_bytes: int = Field(default=512 * 2**20, ge=2**20)
    """Largest label file taken, in bytes."""

    draft_entry_max_bytes: int = Field(default=4 * 2**20, ge=1024)
    """Largest single draft entry, in bytes of JSON."""

    draft_request_max_bytes: int = Field(default=16 * 2**20, ge=1024)
    """Largest request that appends to a draft, in bytes of JSON."""

    expiry_interval_s: float = Field(default=1.0, gt=0)
    """Seconds between two looks for leases that have run out."""

    abandoned_upload_s: float = Field(default=3600.0, ge=60)
    """Seconds after which an uploaded object that no label refers to is deleted."""

    web_folder: str = ""
    """Folder of the built reading room; empty for `web/dist` beside the package in the source tree."""
