"""What is set up in real engines before the services start: topics, schemas with their roles, the way to the other plane."""

from radloop.errors import PermanentError
from standalone.engines.mirror import Mirror
from standalone.engines.real import DATABASE, RealEngines
from standalone.layout import Layout
from standalone.setup import Setup


def provision(engines: RealEngines, setup: Setup) -> None:
    """Make what is missing; what is there stays as it is.

    Raises
    ------
    RadloopError
        An engine refuses.
    """
    from radloop.events.kafka.address import KafkaAddress
    from radloop.events.kafka.topics import KafkaTopics
    from radloop.events.topics import planned_topics
    from radloop.sql.ownership import apply_ownership

    topics = KafkaTopics(KafkaAddress.parse(engines.events_url), planned_topics())
    topics.apply(topics.differences())
    apply_ownership(engines.postgresql.url_of(DATABASE), engines.database_passwords)


def mirror_of(layout: Layout) -> Mirror | None:
    """Return the mirror of a data plane that has a control plane; None where there is none."""
    setup, engines = layout.setup, layout.engines
    if not setup.control_plane_events or engines is None:
        return None
    scheme, _, address = setup.control_plane_events.partition("://")
    if scheme != "kafka" or not address:
        raise PermanentError(
            "control-plane-events-invalid",
            expected="kafka://host:port[,host:port]",
            got=f"{scheme}://…",
            do="mend --control-plane-events",
        )
    return Mirror(
        folder=layout.engines_folder / "mirror",
        site=setup.site,
        site_events=engines.kafka.bootstrap,
        control_plane_events=address,
        notes=setup.mirror_notes,
    )
