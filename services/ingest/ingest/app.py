"""What is plugged into what."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ingest import handlers
from ingest.adapters.cleaning import load_profile
from ingest.adapters.destinations import read_destinations
from ingest.adapters.dimse import DicomDoor
from ingest.adapters.export_lists import ExportLists
from ingest.adapters.export_queue import ExportQueue
from ingest.adapters.exporting import Exporting
from ingest.adapters.forming import Forgetting, Forming
from ingest.adapters.frame_index import FrameIndex
from ingest.adapters.http import make_router
from ingest.adapters.http_exports import make_exports_router
from ingest.adapters.http_frames import make_frames_router
from ingest.adapters.http_keys import make_keys_router
from ingest.adapters.http_operator import make_operator_router
from ingest.adapters.http_retrieve import make_retrieve_router
from ingest.adapters.http_search import make_search_router
from ingest.adapters.http_store import make_store_router
from ingest.adapters.listings import Listings
from ingest.adapters.parsing import configure_libraries
from ingest.adapters.queries import Queries
from ingest.adapters.reception import Receiver
from ingest.adapters.references import needed
from ingest.adapters.resealing import Resealing
from ingest.adapters.searching import Searches
from ingest.adapters.site_key import SiteKeyFile
from ingest.adapters.sql import SqlIngestUnitOfWork
from ingest.adapters.vault import Vault
from ingest.adapters.viewing import Views
from ingest.adapters.wire import make_wire
from ingest.domain.exports import Destination
from ingest.domain.keys import KeyRing
from ingest.domain.messages import AdoptSiteKeys
from ingest.handlers import exports
from ingest.settings import IngestSettings, titles_in
from radloop.dispatch import Dispatcher
from radloop.objects import answers, open_objects
from radloop.objects.sweep import Sweeper
from radloop.objects.sweep_http import sweep_router
from radloop.service import Service, Worker, assemble, open_database

NAME = "ingest"
MIGRATIONS = "ingest.adapters.migrations"


def bind(
    site: str, keys: Callable[[], KeyRing], clock: Any, destinations: Mapping[str, Destination] | None = None
) -> dict[type, Any]:
    """Return HANDLERS with everything but the message and the unit of work bound."""
    extra: dict[Any, dict[str, Any]] = {
        handlers.accept_instance: {"clock": clock, "keys": keys},
        handlers.hold_instance: {"clock": clock, "keys": keys},
        handlers.release_held: {"clock": clock},
        handlers.note_refusal: {"clock": clock},
        handlers.note_difference: {"clock": clock},
        handlers.record_cases: {"clock": clock, "keys": keys, "site": site},
        handlers.say_refusals: {"site": site},
        handlers.withdraw_study: {"clock": clock, "site": site},
        exports.keep_label: {"clock": clock, "destinations": destinations or {}},
        exports.keep_prediction: {"clock": clock, "destinations": destinations or {}},
        exports.ask_export: {"clock": clock, "destinations": destinations or {}},
        exports.begin_export: {"clock": clock},
        exports.end_export: {"clock": clock},
        exports.take_back_exports: {"clock": clock},
        exports.retry_export: {"clock": clock},
        exports.note_disclosure: {"clock": clock},
    }
    return {message: partial(handler, **extra.get(handler, {})) for message, handler in handlers.HANDLERS.items()}


def build(settings: IngestSettings) -> Service:
    """Return the service, ready to run; nothing listens yet."""
    configure_libraries()
    shared = settings.shared
    destinations = read_destinations(settings.destinations_file)
    database = open_database(NAME, shared, MIGRATIONS)
    objects = open_objects(shared.objects_url)
    site_key = SiteKeyFile(settings.site_key_file)
    vault = Vault(site_key.vault_keys)
    wire = make_wire()
    unit_of_work = partial(SqlIngestUnitOfWork, database, wire, source=f"/{shared.site}/{NAME}")
    read_only = partial(unit_of_work, read_only=True)

    def keys() -> KeyRing:
        return site_key.ring

    def note_view(subject: str, series_key: str) -> None:
        with unit_of_work() as uow:
            uow.audit(subject, "view", series_key)
            uow.commit()

    def note_upload(subject: str, study_key: str) -> None:
        with unit_of_work() as uow:
            uow.audit(subject, "upload", study_key)
            uow.commit()

    frame_index, views = FrameIndex(database), Views(note_view, time.time)
    bound = bind(shared.site, keys, time.time, destinations.known)
    dispatch = Dispatcher(bound, unit_of_work).dispatch
    try:
        dispatch(AdoptSiteKeys(tuple(keys().fingerprints.items())))
    except BaseException:
        database.close()  # another site's key: the start ends here
        raise
    receiver = Receiver(dispatch, read_only, objects, keys, load_profile(), vault)
    door = DicomDoor(
        receiver,
        host=settings.dicom_host,
        port=settings.dicom_port,
        ae_title=settings.ae_title,
        max_associations=settings.max_associations,
        calling_ae_titles=titles_in(settings.calling_ae_titles),
        largest_object_bytes=settings.largest_object_bytes,
        timeout_s=settings.sender_timeout_s,
    )
    forming = Forming(
        dispatch,
        read_only,
        objects,
        vault,
        site=shared.site,
        clock=time.time,
        quiet_s=settings.quiet_s,
        broken_quiet_s=settings.broken_quiet_s,
    )
    router = make_router(
        dispatch=dispatch,
        unit_of_work=unit_of_work,
        queries=Queries(database),
        receiver=receiver,
        objects=objects,
        site_key=site_key,
        largest_upload_bytes=settings.largest_upload_bytes,
        dicom_address=lambda: {
            "host": settings.dicom_host,
            "port": door.port,
            "ae_title": settings.ae_title,
            "turned_away": dict(door.turned_away),
        },
    )
    listings = Listings(database, settings.quiet_s, settings.broken_quiet_s, forming.failing)
    exporting = Exporting(read_only, objects, vault, keys)
    queue = ExportQueue(dispatch, read_only, exporting, destinations, settings.ae_title, time.time)
    exports_router = make_exports_router(
        dispatch=dispatch,
        unit_of_work=unit_of_work,
        exporting=exporting,
        lists=ExportLists(database),
        vault=vault,
        destinations=destinations.known,
        clock=time.time,
    )
    keys_router = make_keys_router(dispatch=dispatch, unit_of_work=unit_of_work, site_key=site_key)
    return assemble(
        NAME,
        shared,
        database=database,
        wire=wire,
        handlers=bound,
        unit_of_work=unit_of_work,
        routers=[
            router,
            keys_router,
            exports_router,
            make_operator_router(dispatch, listings),
            make_search_router(Searches(database)),
            make_store_router(receiver, note_upload, settings.largest_upload_bytes),
            make_frames_router(frame_index, objects, views),
            make_retrieve_router(frame_index, objects, views),
            sweep_router(Sweeper(NAME, objects, unit_of_work, needed), shared.sweep_shortest_grace_s),
        ],
        workers=[
            Worker("forming", forming.step, interval_s=0.2),
            Worker("resealing", Resealing(receiver, keys).step, interval_s=1.0),
            Worker("exports", queue.step, interval_s=1.0),
            Worker("forgetting", Forgetting(dispatch, read_only, objects).step, interval_s=1.0),
        ],
        checks={"dicom": lambda: door.port != 0, "objects": partial(answers, objects)},
        # Logging is configured after this function: what libraries log is switched off again when the service starts.
        on_start=[configure_libraries, receiver.sweep, door.open, queue.take_back],
        on_stop=[door.close],
    )
