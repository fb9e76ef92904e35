"""The control plane's own settings: none beyond what every service has."""

from radloop.settings import ServiceSettings, settings_config


class ControlPlaneSettings(ServiceSettings):
    """Read from `CONTROL_PLANE_*`; an unknown name among them stops the start."""

    model_config = settings_config("CONTROL_PLANE_")
