#!/bin/sh
# As the entrypoint of PostgreSQL's own image: an empty folder becomes a database of the password given, to be reached from elsewhere.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s' "${POSTGRES_PASSWORD:?}" >/tmp/password
    # shellcheck disable=SC2086
    initdb --username=postgres --pwfile=/tmp/password --auth=trust --auth-host=trust ${POSTGRES_INITDB_ARGS:-}
    rm /tmp/password
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    echo "unix_socket_directories = '/var/run/postgresql'" >>"$PGDATA/postgresql.conf"
fi
exec "$@"
