#!/usr/bin/env bash
# Entry of a container on a platform that sets TF_CONFIG (Vertex AI, Kubeflow) or starts one only.
# Needs: the image of launch/kubernetes/Dockerfile; a workdir that all replicas share.
# Command: docker run --entrypoint /opt/tf-sigma-vae/launch/container_entry.sh IMAGE
#   --workdir=/runs/a [flags of sigma-vae-train]; launch/vertex.yaml does so. MAX_RESTARTS
#   (default 20) can be set.
# Prints: what sigma-vae-train prints (its choice of strategy too), and a line for each restart.
#
# Exit code 42 that nobody asked this container for means that another replica was lost: all have
# it, all start again, and wait for one another up to --cluster_timeout. SIGTERM to the container
# stops the run with a checkpoint and exit code 42. An error ends it with exit code 1.
set -euo pipefail

if (($# == 0)); then
  echo "usage: launch/container_entry.sh --workdir=DIR [flags of sigma-vae-train]" >&2
  exit 2
fi
export RESTART_CODE=42 MAX_RESTARTS="${MAX_RESTARTS:-20}"
exec "$(dirname "${BASH_SOURCE[0]}")/supervise.sh" sigma-vae-train --strategy=auto "$@"
