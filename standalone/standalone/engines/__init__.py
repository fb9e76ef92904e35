"""Real engines on one machine: Apache Kafka, PostgreSQL and an S3 server, installed from lock files and run as processes.

For ``--engines real``, for tests and for benchmarks. A hospital brings its own; nothing here is needed then.
"""
