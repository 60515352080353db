#!/usr/bin/env bash
# Trains on all GPUs of this machine; config.global_batch_size is shared out among them.
# Needs: two GPUs or more that TensorFlow sees (pip install "tensorflow[and-cuda]"), and
#   sigma-vae-train in PATH, or `make env` in this clone. CUDA_VISIBLE_DEVICES=0,1 chooses.
# Command: [MAX_RESTARTS=3] launch/multi_gpu.sh --workdir=runs/a [flags of sigma-vae-train]
# Prints: the number of GPUs, then what launch/local.sh prints; it restarts as that does.
set -euo pipefail

if (($# == 0)); then
  echo "usage: launch/multi_gpu.sh --workdir=DIR [flags of sigma-vae-train]" >&2
  exit 2
fi
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
PATH="$PATH:$here/../.venv/bin"
train="$(command -v sigma-vae-train)" || {
  echo "multi_gpu.sh: no sigma-vae-train in PATH: activate its environment, or run make env" >&2
  exit 2
}
# TensorFlow is asked, not the driver: it may lack the CUDA libraries, or see fewer by choice.
gpus="$("$(dirname "$train")/python" -c \
  'import tensorflow as tf; print(len(tf.config.list_physical_devices("GPU")))')"
if ((gpus < 2)); then
  echo "multi_gpu.sh: TensorFlow sees $gpus GPUs here, two are needed: take launch/local.sh, or" \
    "install \"tensorflow[and-cuda]\" if nvidia-smi -L lists more" >&2
  exit 1
fi
echo "multi_gpu.sh: $gpus GPUs"
exec "$here/supervise.sh" sigma-vae-train --strategy=mirrored "$@"
