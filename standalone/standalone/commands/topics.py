"""``topics``: what Kafka needs before the first service starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from standalone.commands.options import DEFAULT_DATA, DataOption, EventsUrlOption, JsonOption, print_json, print_table

if TYPE_CHECKING:
    from radloop.events.kafka import KafkaAddress

app = typer.Typer(no_args_is_help=True, help="Make Kafka's topics and rights as the platform needs them.")

DIFFERENT = 2
KEPT = 3


@app.callback()
def _group() -> None:
    """Make Kafka's topics and rights as the platform needs them."""


@app.command()
def apply(
    data: DataOption = DEFAULT_DATA,
    url: EventsUrlOption = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the differences and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the topics that are missing and set what differs; the differences are shown first.

    Never deletes a topic and never changes a partition count or the number of copies: that would break the order of events,
    or move all data. Exit code 0: all is as declared. 2: --dry-run found something to do. 3: something stays different.

    Example:

        radloop topics apply --url 'kafka://admin:secret@kafka-1:9093,kafka-2:9093?tls=true&ca=ca.pem&replication=3' --dry-run
    """
    from radloop.events.kafka.topics import Action, KafkaTopics
    from radloop.events.topics import planned_topics

    topics = KafkaTopics(_address(data, url), planned_topics())
    differences = topics.differences()
    if as_json:
        print_json([vars(each) for each in differences])
    else:
        rows = [[each.action, each.topic, each.setting, each.there, each.declared] for each in differences]
        print_table("", ["", "topic", "setting", "there", "declared"], rows, empty="All topics are as declared.")
    kept = [each for each in differences if each.action is Action.KEEP]
    if not dry_run:
        topics.apply(differences)
    if kept and not as_json:
        typer.echo(f"{len(kept)} stay different: what says keep is never changed.", err=True)
    if kept:
        raise typer.Exit(KEPT)
    if dry_run and differences:
        raise typer.Exit(DIFFERENT)


@app.command()
def acls(
    data: DataOption = DEFAULT_DATA,
    url: EventsUrlOption = "",
    prefix: Annotated[
        str, typer.Option(help="What the user of each service is called before the service's name.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Grant what is missing. Nothing is ever taken away.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the rights each service needs, from the contracts: nothing more than it hears and says.

    Example:

        radloop topics acls --url 'kafka://admin:secret@kafka-1:9093?tls=true&ca=ca.pem' --prefix radloop- --apply
    """
    from radloop.events.kafka.acls import grant, needed_rights

    rights = needed_rights(prefix)
    if as_json:
        print_json([vars(each) for each in rights])
    else:
        rows = [[each.user, each.operation, each.resource, each.name] for each in rights]
        print_table("", ["user", "may", "", "name"], rows, empty="")
    if apply:
        grant(_address(data, url), rights)


def _address(data: Path, url: str) -> "KafkaAddress":
    from radloop.errors import Invalid
    from radloop.events.kafka import KafkaAddress
    from standalone.layout import Layout

    found = url or Layout(data).events_url
    if not found.startswith("kafka://"):
        raise Invalid(
            "no-kafka",
            expected="the address of a Kafka cluster",
            got="an embedded event log, which makes its topics itself",
            do="name the cluster with --url or RADLOOP_EVENTS_URL",
        )
    return KafkaAddress.parse(found)
