"""``events``: what the services said to one another."""

from typing import Annotated

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption

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
