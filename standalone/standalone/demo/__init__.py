"""The demonstration: a cohort, simulated readers, the script that runs the rounds, and the report about them."""
