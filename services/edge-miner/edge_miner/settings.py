"""What can be set about this service. Selection itself is set per project, by `project-configured`."""

from pydantic import Field

from radloop.settings import ServiceSettings, settings_config


class EdgeMinerSettings(ServiceSettings):
    """Settings of edge-miner, `EDGE_MINER_*`."""

    model_config = settings_config("EDGE_MINER_")

    cold_start_quiet_s: float = Field(default=60.0, ge=0)
    """Seconds without a new case after which a project without a model gets its cold start."""

    ask_at_once: int = Field(default=200, ge=1, le=10_000)
    """Predictions asked for in one transaction."""

    poll_s: float = Field(default=0.5, gt=0)
    """Seconds between two looks for rounds that can move on."""
