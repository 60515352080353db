#!/usr/bin/env bash
# Runs a study of the paper to its table; table1.sh, figure4.sh and their like start through it.
# Needs: sigma-vae-sweep in PATH, or `make env` in this clone.
# Command: launch/study.sh NAME [flags of sigma-vae-sweep]; later flags go before earlier ones
# Prints: where it writes, what sigma-vae-sweep prints, and at the end the table and the pictures.
# --workdir is runs/NAME-BUDGET unless given. Killed or stopped (exit code 42), it goes on by the
# same command.
set -euo pipefail
if (($# == 0)); then
  echo "usage: launch/study.sh NAME [flags of sigma-vae-sweep]" >&2
  exit 2
fi
PATH="$PATH:$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.venv/bin"
command -v sigma-vae-sweep >/dev/null ||
  { echo "study.sh: no sigma-vae-sweep in PATH; make env installs it here" >&2 && exit 127; }

name="$1" && shift
budget=paper workdir="" flags=()
for flag in "$@"; do
  case "$flag" in
    --budget=*) budget="${flag#*=}" ;;
    --workdir=*) workdir="${flag#*=}" ;;
    *) flags+=("$flag") ;;
  esac
done
workdir="${workdir:-runs/$name-$budget}"
echo "study.sh: $name, budget $budget, in $workdir"
exec sigma-vae-sweep --budget="$budget" --workdir="$workdir" "${flags[@]}"
