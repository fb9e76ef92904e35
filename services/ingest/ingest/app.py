"""What is plugged into what."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from ingest import handlers
from ingest.adapters.archives import Archive, ArchivesFile
from ingest.adapters.cleaning import load_profile
from ingest.adapters.destinations import read_destinations
from ingest.adapters.dimse import DicomDoor
from ingest.adapters.dimse_retrieve import GetArchive, MoveArchive
from ingest.adapters.export_lists import ExportLists
from ingest.adapters.export_queue import ExportQueue
from ingest.adapters.exporting import Exporting
from ingest.adapters.finding import Finding
from ingest.adapters.forming import Forgetting, Forming
from ingest.adapters.frame_index import FrameIndex
from ingest.adapters.http import make_router
from ingest.adapters.http_exports import make_exports_router
from ingest.adapters.http_frames import make_frames_router
from ingest.adapters.http_keys import make_keys_router
from ingest.adapters.http_labels import make_labels_router
from ingest.adapters.http_operator import make_operator_router
from ingest.adapters.http_proof import Proofs, make_proof_router
from ingest.adapters.http_pulls import make_pulls_router
from ingest.adapters.http_report import make_report_router
from ingest.adapters.http_retention import make_retention_router
from ingest.adapters.http_retrieve import make_retrieve_router
from ingest.adapters.http_search import make_search_router
from ingest.adapters.http_store import make_store_router
from ingest.adapters.http_withdrawal import make_withdrawal_router
from ingest.adapters.listings import Listings
from ingest.adapters.originals import Originals
from ingest.adapters.parsing import configure_libraries
from ingest.adapters.pull_planning import Planning
from ingest.adapters.pulling import RENEW_S, Pace, Pulling
from ingest.adapters.queries import Queries
from ingest.adapters.reception import Receiver
from ingest.adapters.references import needed
from ingest.adapters.resealing import Resealing
from ingest.adapters.retention import Retention, read_retention
from ingest.adapters.searching import Searches
from ingest.adapters.site_key import SiteKeyFile
from ingest.adapters.site_profile import canonical, fingerprint, read_site_profile
from ingest.adapters.sql import SqlIngestUnitOfWork
from ingest.adapters.sql_profiles import Reports
from ingest.adapters.sql_pulls import PullListings
from ingest.adapters.sql_retention import Kept
from ingest.adapters.tables import METADATA
from ingest.adapters.vault import Vault
from ingest.adapters.viewing import Views
from ingest.adapters.web_archive import WebArchive
from ingest.adapters.wire import make_wire
from ingest.domain.exports import Destination
from ingest.domain.keys import KeyRing
from ingest.domain.messages import AdoptProfile, AdoptSiteKeys
from ingest.domain.pulls import Way
from ingest.domain.retention import RetentionPolicy
from ingest.handlers import exports, privacy, pulls
from ingest.ports import Clock
from ingest.ports.pulling import ArchiveConnection
from ingest.settings import IngestSettings, titles_in
from radloop.dispatch import Dispatcher
from radloop.objects import answers, open_objects
from radloop.objects.sweep import Sweeper
from radloop.objects.sweep_http import sweep_router
from radloop.remains_http import Remains, remains_router
from radloop.service import Service, Worker, assemble, open_database

NAME = "ingest"
MIGRATIONS = "ingest.adapters.migrations"


def bind(
    site: str,
    keys: Callable[[], KeyRing],
    clock: Any,
    release_persons: int = 1,
    destinations: Mapping[str, Destination] | None = None,
) -> dict[type, Any]:
    """Return HANDLERS with everything but the message and the unit of work bound."""
    extra: dict[Any, dict[str, Any]] = {
        handlers.accept_instance: {"clock": clock, "keys": keys},
        handlers.hold_instance: {"clock": clock, "keys": keys},
        privacy.propose_release: {"clock": clock},
        handlers.release_held: {"clock": clock, "persons": release_persons},
        privacy.adopt_profile: {"clock": clock},
        handlers.note_refusal: {"clock": clock},
        handlers.note_difference: {"clock": clock},
        handlers.record_cases: {"clock": clock, "keys": keys, "site": site},
        handlers.say_refusals: {"site": site},
        pulls.step_pull: {"clock": clock},
        pulls.claim_pull: {"clock": clock},
        privacy.keep_flag: {"clock": clock},
        privacy.notice_retention: {"clock": clock},
        privacy.refuse_patient: {"clock": clock},
        privacy.withdraw_study: {"clock": clock, "site": site},
        handlers.hear_label: {"clock": clock, "destinations": destinations or {}},
        exports.keep_prediction: {"clock": clock, "destinations": destinations or {}},
        exports.ask_export: {"clock": clock, "destinations": destinations or {}},
        exports.begin_export: {"clock": clock},
        exports.end_export: {"clock": clock},
        exports.take_back_exports: {"clock": clock},
        exports.retry_export: {"clock": clock},
        exports.note_disclosure: {"clock": clock},
    }
    return {message: partial(handler, **extra.get(handler, {})) for message, handler in handlers.HANDLERS.items()}


def build(settings: IngestSettings, clock: Clock = time.time) -> Service:
    """Return the service, ready to run; nothing listens yet."""
    configure_libraries()
    shared = settings.shared
    destinations = read_destinations(settings.destinations_file)
    archives = ArchivesFile(settings.archives_file, settings.ae_title)
    database = open_database(NAME, shared, MIGRATIONS)
    objects = open_objects(shared.objects_url)
    site_key = SiteKeyFile(settings.site_key_file)
    site_profile = read_site_profile(settings.profile_file) if settings.profile_file else None
    policy = read_retention(settings.retention_file) if settings.retention_file else RetentionPolicy()
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

    frame_index, views = FrameIndex(database), Views(note_view, clock)
    bound = bind(shared.site, keys, clock, settings.release_persons, destinations.known)
    dispatch = Dispatcher(bound, unit_of_work).dispatch
    try:
        dispatch(AdoptSiteKeys(tuple(keys().fingerprints.items())))
        if site_profile:
            dispatch(AdoptProfile(site_profile.label, fingerprint(site_profile), canonical(site_profile)))
    except BaseException:
        database.close()  # another site's key, or a profile changed in silence: the start ends here
        raise
    receiver = Receiver(dispatch, read_only, objects, keys, load_profile(site_profile), vault)
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
        clock=clock,
        quiet_s=settings.quiet_s,
        broken_quiet_s=settings.broken_quiet_s,
    )
    originals = Originals(database, vault, objects)
    stopping = threading.Event()
    pace = Pace(stopping.wait)

    def connect(archive: Archive, way: Way) -> ArchiveConnection:
        if way is Way.C_MOVE:
            return MoveArchive(archive)
        kind = GetArchive if way is Way.C_GET else WebArchive
        return kind(archive, receiver, pace, settings.largest_object_bytes)

    pull_listings = PullListings(database)
    pull_parts: dict[str, Any] = {
        "archives": archives,
        "connect": connect,
        "planning": Planning(read_only, keys, vault, pull_listings.mean_bytes),
        "vault": vault,
        "clock": clock,
        "zone": ZoneInfo(settings.time_zone),
    }
    pulling = Pulling(dispatch, read_only, receiver, pace=pace, **pull_parts)
    pulls_router = make_pulls_router(
        dispatch=dispatch,
        unit_of_work=unit_of_work,
        listings=pull_listings,
        vault_version=lambda: keys().current,
        **pull_parts,
    )
    router = make_router(
        dispatch=dispatch,
        unit_of_work=unit_of_work,
        queries=Queries(database),
        originals=originals,
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
        release_persons=settings.release_persons,
    )
    retention = Retention(dispatch, Kept(database), policy, time.time)
    remains = Remains(
        NAME,
        METADATA,
        unit_of_work,
        "tombstones",
        {"refusals": "why what was sent of it was refused, and how often"},
        objects,
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
            make_labels_router(
                unit_of_work=unit_of_work,
                originals=originals,
                site_key=site_key,
                largest_upload_bytes=settings.largest_upload_bytes,
            ),
            pulls_router,
            exports_router,
            make_operator_router(dispatch, listings),
            make_report_router(Reports(database), unit_of_work),
            make_withdrawal_router(
                dispatch=dispatch, unit_of_work=unit_of_work, site_key=site_key, finding=Finding(database, vault)
            ),
            make_search_router(Searches(database)),
            make_store_router(receiver, note_upload, settings.largest_upload_bytes),
            make_frames_router(frame_index, objects, views),
            make_retrieve_router(frame_index, objects, views),
            remains_router(remains),
            make_retention_router(retention),
            make_proof_router(Proofs(database, remains), unit_of_work),
            sweep_router(Sweeper(NAME, objects, unit_of_work, needed), shared.sweep_shortest_grace_s),
        ],
        workers=[
            Worker("forming", forming.step, interval_s=0.2),
            Worker("resealing", Resealing(receiver, keys).step, interval_s=1.0),
            Worker("retention", retention.step, interval_s=settings.retention_interval_s),
            Worker("exports", queue.step, interval_s=1.0),
            Worker("forgetting", Forgetting(dispatch, read_only, objects).step, interval_s=1.0),
            Worker("pulling", pulling.step, interval_s=0.2),
            Worker("pull-claims", pulling.renew, interval_s=RENEW_S),
        ],
        checks={"dicom": lambda: door.port != 0, "objects": partial(answers, objects)},
        # Logging is configured after this function: what libraries log is switched off again when the service starts.
        on_start=[configure_libraries, receiver.sweep, door.open, queue.take_back],
        on_stop=[stopping.set, pulling.close, door.close],
    )
