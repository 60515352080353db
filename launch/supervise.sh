#!/usr/bin/env bash
# Runs a command, and again when it was killed; the scripts beside this one start through it.
# Needs: the command in PATH, or in the environment that `make env` makes in this clone.
# Command: [MAX_RESTARTS=3] [RESTART_CODE=42] launch/supervise.sh COMMAND [ARGUMENT ...]
# Prints: what the command prints, and a line for each restart. Its exit code is the command's.
# A signal that kills the command (for want of memory, say) restarts it, and so does RESTART_CODE;
# an error does not. SIGTERM, Ctrl-C and SIGHUP are passed on, as SIGTERM, and end the restarts.
set -euo pipefail
if (($# == 0)); then
  echo "usage: launch/supervise.sh COMMAND [ARGUMENT ...]" >&2
  exit 2
fi
PATH="$PATH:$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin"
command -v sigma-vae-train >/dev/null ||
  { echo "supervise.sh: no sigma-vae-train in PATH; make env installs it here" >&2 && exit 127; }

pid="" asked=""
stop() { asked=yes && { [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null || true; }; }
kill_group() { [ -z "$pid" ] || kill -KILL -- "-$pid" 2>/dev/null || true; }
trap stop TERM INT HUP
trap kill_group EXIT # nothing that the command started outlives it

for ((restarts = 0; ; restarts++)); do
  set -m # a process group of its own: a terminal's Ctrl-C comes here only, and is passed on once
  "$@" </dev/null &
  pid=$!
  set +m
  [ -z "$asked" ] || stop
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1 || true; done
  code=0
  wait "$pid" || code=$?
  kill_group
  case "$code" in
    "${RESTART_CODE:-none}") ;;
    129 | 130 | 143) exit "$code" ;; # SIGHUP, SIGINT, SIGTERM: it was told to stop
    *) ((code > 128)) || exit "$code" ;;
  esac
  if [ -n "$asked" ] || ((restarts >= ${MAX_RESTARTS:-3})); then exit "$code"; fi
  echo "supervise.sh: exit code $code: restart $((restarts + 1)) of ${MAX_RESTARTS:-3}" >&2
done
