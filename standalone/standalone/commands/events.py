"""``events``: what the services said to one another."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, EventsUrlOption

app = typer.Typer(no_args_is_help=True, help="Follow what the services say to one another.")


@app.callback()
def _group() -> None:
    """Follow what the services say to one another."""


@app.command()
def tail(
    data: DataOption = DEFAULT_DATA,
    topic: Annotated[str | None, typer.Option(help="Only this topic, e.g. label-approved.", show_default=False)] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, payload and envelope whole.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest event, not with the next.")
    ] = False,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="End when there is no more; do not wait for the next.")
    ] = False,
) -> None:
    """Print events as they come, until Ctrl-C.

    Reads the log itself, not as a consumer group: no service notices. Works while the platform is down, too.

    Example:

        radloop events tail --topic model-trained --from-start --json
    """
    import json
    import time

    from radloop.contracts.topics import TOPICS
    from radloop.errors import Invalid
    from standalone.eventlog import DEAD_LETTERS, Places, as_dict, line_of, open_log, read_new
    from standalone.layout import Layout

    if topic is not None and topic not in TOPICS and not topic.endswith(DEAD_LETTERS):
        raise Invalid("topic-unknown", expected=f"one of {', '.join(TOPICS)}", got=topic, do="mend the name")
    log = open_log(Layout(data))
    places: Places = {}
    if not from_start:
        read_new(log, places, topic)
    try:
        while True:
            found = read_new(log, places, topic)
            for stored in found:
                print(json.dumps(as_dict(stored), ensure_ascii=False) if as_json else line_of(stored), flush=True)
            if no_follow:
                return
            if not found:
                time.sleep(0.3)
    except KeyboardInterrupt:
        return
    finally:
        log.close()


@app.command()
def replay(
    topic: Annotated[str, typer.Option(help="Topic to read again, e.g. label-approved.")],
    group: Annotated[str, typer.Option(help="Service that reads it again, e.g. trainer.")],
    data: DataOption = DEFAULT_DATA,
    url: EventsUrlOption = "",
    database_url: Annotated[
        str,
        typer.Option(
            envvar="RADLOOP_DATABASE_URL",
            help="With --again: the service's database; that of the data folder, if left out.",
        ),
    ] = "",
    from_time: Annotated[
        datetime | None,
        typer.Option(help="Begin with the first event the log took at this time, UTC unless it says otherwise."),
    ] = None,
    from_offset: Annotated[int | None, typer.Option(help="Begin at this offset of one partition.", min=0)] = None,
    partition: Annotated[int, typer.Option(help="Partition of --from-offset.", min=0)] = 0,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the oldest event.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Handle the events anew, also those the service has handled before.")
    ] = False,
) -> None:
    """Let one service read a topic again; the others notice nothing. It may run meanwhile.

    Without --again it passes over what it has handled. With it, the handlers run again: they are idempotent, but look first
    at what they do.

    Example:

        radloop events replay --topic label-approved --group trainer --from-time 2026-03-01T00:00:00 --again
    """
    from contextlib import closing, nullcontext

    from radloop.errors import Invalid
    from radloop.events import open_event_log
    from radloop.sql import Database
    from standalone.eventlog import open_log
    from standalone.layout import Layout
    from standalone.replay import replay_events

    if sum([from_time is not None, from_offset is not None, from_start]) != 1:
        raise Invalid(
            "start-needed",
            expected="one of --from-time, --from-offset, --from-start",
            got="none of them, or several",
            do="say where to begin",
        )
    layout = Layout(data)
    database = Database(database_url or layout.database_url(group), group) if again else None
    with (
        closing(open_event_log(url) if url else open_log(layout)) as log,
        closing(database) if database else nullcontext(),
    ):
        if from_offset is not None:
            start = {partition: from_offset}
        else:
            zoned = from_time and (from_time if from_time.tzinfo else from_time.replace(tzinfo=UTC))
            start = log.offsets_at(topic, zoned.timestamp() if zoned else 0)
        count = replay_events(log, topic, group, start, forget_in=database)
    print(f"{group} gets {count} events of {topic} again.")
