"""The whole platform on one machine: the radloop command."""
