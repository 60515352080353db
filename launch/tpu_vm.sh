#!/usr/bin/env bash
# Installs the clone on a Cloud TPU VM, once, and trains on all cores of its TPU.
# Needs: a TPU VM with Python 3.11 to 3.13 (PYTHON=python3.11) and this clone on it; it creates
#   none. config.global_batch_size must be a multiple of the cores.
# Command: on the TPU VM: launch/tpu_vm.sh --workdir=runs/a [flags of sigma-vae-train]
#   from elsewhere: gcloud compute tpus tpu-vm ssh NAME --zone=ZONE --worker=0
#     --command='cd tf-sigma-vae && launch/tpu_vm.sh --workdir=runs/a'
# Prints: pip's errors, what sigma-vae-train prints, and a line for each restart (as local.sh).
#
# NOT TRIED: there was no TPU, neither this script nor a TensorFlow for TPUs has been run. For a
# slice of several VMs, TensorFlow's way is: install on all (--worker=all, without flags), then
# train on worker 0 alone, with TPU_NAME set, on the VM image for pods. TPU_NAME is passed on.
set -euo pipefail

clone="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${VENV:-$clone/.venv-tpu}"
# The newest release of tensorflow-tpu; it has the files of tensorflow, so it comes second.
version="${TENSORFLOW_VERSION:-2.20.0}"

if [ ! -e "$venv/.installed" ]; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet "tensorflow==$version" "$clone"
  "$venv/bin/pip" install --quiet --force-reinstall --no-deps "tensorflow-tpu==$version"
  "$venv/bin/pip" install --quiet "tensorflow-tpu==$version" \
    --find-links=https://storage.googleapis.com/libtpu-tf-releases/index.html
  touch "$venv/.installed"
fi
if (($# == 0)); then
  echo "usage: launch/tpu_vm.sh --workdir=DIR [flags of sigma-vae-train] (now installed)" >&2
  exit 2
fi
# A TPU compiles one batch shape, hence no partial batches.
PATH="$venv/bin:$PATH" exec "$clone/launch/supervise.sh" sigma-vae-train --strategy=tpu \
  --config.drop_remainder=True "$@"
