"""What is plugged into what. The only place that constructs things."""

from functools import partial
from pathlib import Path

from labeling.adapters import housekeeping, http, http_me
from labeling.adapters.api import Api, Limits
from labeling.adapters.clock import SystemClock
from labeling.adapters.references import needed
from labeling.adapters.sql import DRAFTS_OF_STUDY, LabelingUnitOfWork
from labeling.adapters.tables import metadata
from labeling.adapters.web import BUILT, web_router
from labeling.adapters.wire import WIRE
from labeling.handlers import HANDLERS
from labeling.ports import Clock
from labeling.settings import LabelingSettings
from radloop.dispatch import Dispatcher
from radloop.objects import answers, open_objects
from radloop.objects.sweep import Sweeper
from radloop.objects.sweep_http import sweep_router
from radloop.remains_http import Remains, remains_router
from radloop.service import Service, Worker, assemble, open_database
from radloop.session import session_router

_HOUSEKEEPING_S = 5.0

NAME = "labeling"
MIGRATIONS = "labeling.adapters.migrations"


def build(settings: LabelingSettings, clock: Clock | None = None) -> Service:
    """Build the service; tests give their own clock."""
    shared = settings.shared
    time = clock or SystemClock()
    database = open_database(NAME, shared, MIGRATIONS)
    objects = open_objects(shared.objects_url)
    unit_of_work = partial(LabelingUnitOfWork, database, WIRE, source=f"/{shared.site}/labeling")
    handlers = {message: partial(handler, clock=time) for message, handler in HANDLERS.items()}
    dispatcher = Dispatcher(handlers, unit_of_work)
    limits = Limits(
        upload=settings.upload_max_bytes,
        draft_entry=settings.draft_entry_max_bytes,
        draft_request=settings.draft_request_max_bytes,
    )
    return assemble(
        "labeling",
        shared,
        database=database,
        wire=WIRE,
        handlers=handlers,
        unit_of_work=unit_of_work,
        routers=[
            http.router(Api(dispatcher, unit_of_work, objects, time, limits)),
            http_me.router(unit_of_work),
            session_router(shared, "labeling"),
            remains_router(
                Remains(
                    "labeling",
                    metadata,
                    unit_of_work,
                    "tombstones",
                    {"tasks": "that tasks of it were cancelled"},
                    objects,
                    {"drafts": DRAFTS_OF_STUDY},
                )
            ),
            sweep_router(Sweeper("labeling", objects, unit_of_work, needed), shared.sweep_shortest_grace_s),
            # Last: the API's own paths win.
            web_router(Path(settings.web_folder) if settings.web_folder else BUILT),
        ],
        checks={"objects": partial(answers, objects)},
        workers=[
            Worker("lease-expiry", partial(housekeeping.expire_leases, dispatcher), settings.expiry_interval_s),
            Worker("purge", partial(housekeeping.purge_study, dispatcher, unit_of_work, objects), _HOUSEKEEPING_S),
            Worker(
                "upload-sweep",
                partial(
                    housekeeping.sweep_upload, dispatcher, unit_of_work, objects, time, settings.abandoned_upload_s
                ),
                _HOUSEKEEPING_S,
            ),
        ],
    )
