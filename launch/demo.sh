#!/usr/bin/env bash
# Trains three decoders on the embedded digits and compares them. Minutes on two CPU cores.
# Needs: the commands of the package in PATH; `make demo` sees to it.
# Command: launch/demo.sh [WORKDIR]   (default runs/digits; run again to resume or to re-evaluate)
# Prints: the training of each, and a table of all their figures.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

workdir="${1:-runs/digits}"
variants=(gaussian_fixed gaussian_shared gaussian_optimal)
compared=()

for variant in "${variants[@]}"; do
  run="$workdir/$variant"
  options=()
  # From scale 1, at the networks' learning rate, 660 steps would not bring the scale down.
  [ "$variant" = gaussian_shared ] && options=(
    --config.likelihood_options.initial_scale=data
    --config.likelihood_options.scale_learning_rate_multiplier=10
  )
  echo "== $variant"
  sigma-vae-train --config=configs/digits_vae.py --variant="$variant" --workdir="$run" \
    "${options[@]}"
  sigma-vae-sample --workdir="$run"
  compared+=("--workdir=$run")
done

echo "== results"
sigma-vae-evaluate "${compared[@]}" | tee "$workdir/results.txt"
echo "The pictures are in $workdir/*/samples, the table in $workdir/results.txt."
