"""What is plugged into what."""

from functools import partial

from control_plane.adapters import http
from control_plane.adapters.sql import SqlControlPlane
from control_plane.adapters.tables import METADATA
from control_plane.adapters.wire import WIRE
from control_plane.handlers import HANDLERS
from control_plane.settings import ControlPlaneSettings
from radloop.dispatch import Dispatcher
from radloop.remains_http import Remains, remains_router
from radloop.service import Service, assemble, open_database

NAME = "control-plane"
MIGRATIONS = "control_plane.adapters.migrations"


def build(settings: ControlPlaneSettings) -> Service:
    """Build the service: its database brought up to date, nothing started yet."""
    shared = settings.shared
    database = open_database(NAME, shared, MIGRATIONS)
    unit_of_work = partial(SqlControlPlane, database, WIRE, source=f"/{shared.site}/control-plane")
    dispatcher = Dispatcher(HANDLERS, unit_of_work)
    return assemble(
        "control-plane",
        shared,
        database=database,
        wire=WIRE,
        handlers=HANDLERS,
        unit_of_work=unit_of_work,
        routers=[
            http.router(dispatcher, unit_of_work),
            remains_router(
                Remains(
                    NAME,
                    METADATA,
                    unit_of_work,
                    "withdrawn_studies",
                    {
                        "withdrawn_cases": "which case ids were its",
                        "dataset_items": "which dataset versions contained it",
                    },
                )
            ),
        ],
    )
