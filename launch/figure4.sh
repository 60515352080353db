#!/usr/bin/env bash
# The paper's Fig. 4 on MNIST: information in the latent over beta, as intervals.
# Needs: sigma-vae-sweep in PATH, or `make env` in this clone; MNIST in DIR (--download fetches it).
# Command: launch/figure4.sh --data_dir=DIR [--budget=paper|short|smoke] [flags of
#   sigma-vae-sweep]; again to go on. A try that downloads nothing:
#   launch/figure4.sh --budget=smoke --dataset=digits
# Prints: the table, where the calibrated decoders lie, and the path of information.png.
# Cost: 33 runs of 10 epochs (paper) or 22 of 2 (short); about 90 s an epoch on 2 cores.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/study.sh" figure4 --config=mnist_vae --sweep=figure4 \
  --measures=information "$@"
