#!/usr/bin/env bash
# Trains in N workers on this machine, over loopback: what several machines do, to try it out.
# Needs: sigma-vae-train in PATH, or `make env` in this clone; python3. Where there are GPUs, set
#   CUDA_VISIBLE_DEVICES=-1, or every worker takes all of them (launch/multi_gpu.sh is for those).
# Command: launch/multi_worker_local.sh N [--workdir=runs/multi_worker] [flags of sigma-vae-train]
#   MAX_RESTARTS=3 and STOP_SECONDS=30, from SIGTERM to SIGKILL, can be set.
# Prints: what worker 0 prints, each loss and restart; the others write to WORKDIR/worker-I.log.
#
# When a worker is lost (killed, or it left with 42 unasked), all are stopped and started again.
# SIGTERM or Ctrl-C stops all in good order, a second one at once. Exit code: 0 done; 42 not
# finished, the same command resumes; else an error, which is that of the first worker to fail.
set -euo pipefail

if ! [[ "${1:-}" =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: launch/multi_worker_local.sh N [flags of sigma-vae-train] (N workers, N > 0)" >&2
  exit 2
fi
num_workers="$1"
shift

workdir="" flag_before=""
for flag in "$@"; do
  [[ "$flag" != --workdir=* ]] || workdir="${flag#*=}"
  [ "$flag_before" != --workdir ] || workdir="$flag"
  flag_before="$flag"
done
workdir="${workdir:-runs/multi_worker}"
mkdir -p "$workdir"

cores="$(getconf _NPROCESSORS_ONLN)"
share=$((cores > num_workers ? cores / num_workers : 1))
export TF_NUM_INTRAOP_THREADS="${TF_NUM_INTRAOP_THREADS:-$share}" RESTART_CODE=42
here="$(dirname "${BASH_SOURCE[0]}")"
exec "$here/supervise.sh" "$here/workers.sh" "$num_workers" "$workdir" "$@"
