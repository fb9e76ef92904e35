"""The command's root: what there is, in the order a newcomer needs it."""

import typer

from standalone.commands import (
    audit,
    backup,
    database,
    datasets,
    deadletters,
    demo,
    events,
    exports,
    keys,
    labels,
    models,
    objects,
    platform,
    projects,
    pulls,
    studies,
    topics,
    withdrawal,
)

app = typer.Typer(
    name="radloop",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Active learning for radiology, the whole platform on one machine.\n\n"
        "Start with **radloop demo**: it runs the loop on images and shows a model getting better. "
        "**radloop up** starts the same platform empty; the other commands talk to it.\n\n"
        "Example:\n\n    radloop up --data .radloop        (one terminal)\n\n"
        "    radloop status --data .radloop    (another)"
    ),
)

app.command()(platform.up)
app.command()(demo.demo)
app.command()(platform.status)
app.command()(platform.token)
app.add_typer(projects.app, name="project")
app.command()(studies.ingest)
app.add_typer(pulls.app, name="pull")
app.add_typer(labels.app, name="labels")
app.command()(models.train)
app.add_typer(models.app, name="models")
app.add_typer(datasets.app, name="dataset")
app.add_typer(exports.app, name="export")
app.command()(withdrawal.withdraw)
app.add_typer(withdrawal.app, name="withdrawn")
app.command()(audit.audit)
app.add_typer(events.app, name="events")
app.add_typer(objects.app, name="objects")
app.add_typer(deadletters.app, name="dlq")
app.add_typer(backup.app, name="backup")
app.add_typer(keys.app, name="keys")
app.add_typer(topics.app, name="topics")
app.add_typer(database.app, name="database")
