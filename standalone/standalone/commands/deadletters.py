"""``dlq``: events that a service could not handle, with the reason, to be mended and replayed."""

from typing import Annotated

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, JsonOption, print_json, print_table

app = typer.Typer(
    no_args_is_help=True, help="Dead letters: events a service could not handle. Nothing is lost: list, show, replay."
)

TopicOption = Annotated[str | None, typer.Option(help="Only letters of this topic.", show_default=False)]
GroupOption = Annotated[str | None, typer.Option(help="Only letters of this service.", show_default=False)]


@app.command("list")
def list_letters(data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """List the dead letters, replayed ones too.

    Example:

        radloop dlq list
    """
    from standalone.eventlog import dead_letters, open_log
    from standalone.layout import Layout

    log = open_log(Layout(data))
    letters = dead_letters(log)
    log.close()
    if as_json:
        print_json(
            [
                {
                    "place": letter.stored.record.topic,
                    "offset": letter.stored.offset,
                    "topic": letter.topic,
                    "service": letter.group,
                    "reason": letter.reason,
                    "waits": letter.waits,
                }
                for letter in letters
            ]
        )
        return
    rows = [
        [letter.topic, letter.group, letter.stored.offset, "waits" if letter.waits else "replayed", letter.reason]
        for letter in letters
    ]
    print_table("", ["topic", "service", "number", "state", "reason"], rows, empty="No dead letters.")


@app.command()
def show(
    topic: Annotated[str, typer.Argument(help="Topic of the event, as listed.")],
    service: Annotated[str, typer.Argument(help="Service that could not handle it, as listed.")],
    number: Annotated[int, typer.Argument(help="Its number, as listed.")],
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print one dead letter whole: envelope, reason, payload.

    Example:

        radloop dlq show label-submitted qa 0
    """
    from radloop.errors import NotFound
    from radloop.events import dead_letter_topic
    from standalone.eventlog import as_dict, open_log
    from standalone.layout import Layout

    log = open_log(Layout(data))
    found = log.read(dead_letter_topic(topic, service), {0: number}, 1)
    log.close()
    if not found or found[0].offset != number:
        raise NotFound("no-such-letter", expected="a dead letter as listed", got="none there", do="radloop dlq list")
    print_json(as_dict(found[0]))


@app.command()
def replay(data: DataOption = DEFAULT_DATA, topic: TopicOption = None, service: GroupOption = None) -> None:
    """Put dead letters back into their topics, as they were.

    Only the service that could not handle an event acts on it again; the others know it and pass it over. What fails
    again is a dead letter again.

    Example:

        radloop dlq replay --topic label-submitted
    """
    from standalone.commands.options import console
    from standalone.eventlog import open_log
    from standalone.eventlog import replay as replay_letters
    from standalone.layout import Layout

    log = open_log(Layout(data))
    letters = replay_letters(log, topic, service)
    log.close()
    console().print(f"Replayed {len(letters)}." if letters else "Nothing waits to be replayed.")
