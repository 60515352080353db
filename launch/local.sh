#!/usr/bin/env bash
# Trains on one device of this machine: its first GPU, or the CPU.
# Needs: sigma-vae-train in PATH, or `make env` in this clone.
# Command: [MAX_RESTARTS=3] launch/local.sh --workdir=runs/a [flags of sigma-vae-train]
# Prints: what sigma-vae-train prints, and a line for each restart.
#
# A crash (killed by a signal, as for want of memory) goes on from the last checkpoint, at most
# MAX_RESTARTS times. SIGTERM or Ctrl-C, here or to sigma-vae-train itself, means stop: checkpoint,
# exit code 42, no restart; the same command resumes. An error is not restarted either.
set -euo pipefail

if (($# == 0)); then
  echo "usage: launch/local.sh --workdir=DIR [flags of sigma-vae-train]" >&2
  exit 2
fi
exec "$(dirname "${BASH_SOURCE[0]}")/supervise.sh" sigma-vae-train --strategy=one_device "$@"
