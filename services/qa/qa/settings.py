"""Settings of `qa`."""

from pydantic import Field, SecretStr

from radloop.settings import ServiceSettings, settings_config


class QaSettings(ServiceSettings):
    """What a site can set."""

    model_config = settings_config("QA_")

    draw_key: SecretStr | None = None
    """Key of the draws of second and gold readings. Unset: the site's name, which whoever knows a case id can work with too."""

    surface_limit_mm: float = Field(default=10.0, gt=0)
    """95 % surface distance of any segment above which two readers do not agree, whatever their Dice; mm."""

    gold_share: float = Field(default=0.05, ge=0, le=1)
    """Share of a reader's labels after which one more case is asked for, a gold one the reader has not read, where a project has any."""

    prediction_wait_s: float = Field(default=60.0, ge=0)
    """How long a label waits for a prediction that was announced with it but not heard of yet; seconds."""

    check_interval_s: float = Field(default=0.2, gt=0)
    """Pause between two looks for labels to check when there are none; seconds."""
