#!/bin/sh
# Starts a node. libpq reads a password file only when it is closed to others, which a mounted Secret is not: so it is
# copied to where the node alone can read it.
set -eu
umask 077
printf '*:*:*:*:%s\n' "$(cat "$POSTGRES_PASSWORD_FILE")" >"$PGPASSFILE"
umask 022
exec docker-entrypoint.sh postgres -c config_file=/etc/citus/postgresql.conf "$@"
