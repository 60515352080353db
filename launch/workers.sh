#!/usr/bin/env bash
# Starts N workers on this machine and stops all when one is lost: multi_worker_local.sh, once.
# Needs: sigma-vae-train and python3 in PATH; supervise.sh, which restarts it.
# Command: launch/supervise.sh launch/workers.sh N WORKDIR [flags of sigma-vae-train]
# Prints: what worker 0 prints; worker I > 0 writes to WORKDIR/worker-I.log.
# Exit code: 0 done; 42 if a worker was lost or this was told to stop; else a worker's error.
set -euo pipefail
asked=0 failed=0 workers=()
trap '((asked == 0)) || exit 42; asked=1' TERM
trap '((${#workers[@]} == 0)) || { kill -KILL "${workers[@]}"; wait; } 2>/dev/null' EXIT
workdir="${2:?usage: launch/workers.sh N WORKDIR [flags of sigma-vae-train]}"
configs="$(python3 "$(dirname "${BASH_SOURCE[0]}")/tf_configs.py" "$1")"
shift 2

reap() { # notes in `failed` how workers have ended: an error outweighs a loss
  for index in "${!workers[@]}"; do
    ! kill -0 "${workers[index]}" 2>/dev/null || continue
    code=0
    wait "${workers[index]}" || code=$?
    unset "workers[index]"
    ((code == 0)) || echo "workers.sh: worker $index: exit code $code" >&2
    ((code <= 128)) || code=42
    if ((code != 0 && (failed == 0 || failed == 42))); then failed=$code; fi
  done
}

while read -r config; do
  {
    ((${#workers[@]} == 0)) || exec >>"$workdir/worker-${#workers[@]}.log" 2>&1
    TF_CONFIG="$config" exec sigma-vae-train --strategy=multi_worker --workdir="$workdir" "$@"
  } </dev/null &
  workers+=("$!")
done <<<"$configs"
while reap && ((${#workers[@]} > 0 && failed == 0 && asked == 0)); do sleep 0.1; done
first=$failed # decides, unless all were told to stop: without it the others do not end well
((${#workers[@]} == 0)) || kill -TERM "${workers[@]}" 2>/dev/null || true
deadline=$((SECONDS + ${STOP_SECONDS:-30}))
while reap && ((${#workers[@]} > 0 && SECONDS < deadline)); do sleep 0.1; done
((${#workers[@]} == 0 || failed != 0)) || failed=42
exit "$((asked == 1 ? failed : first))"
