"""Where people say what they want: projects, which model serves, when to train. And what became of it: a catalogue of datasets and
models with their lineage, built from events alone."""
