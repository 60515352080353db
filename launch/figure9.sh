#!/usr/bin/env bash
# The paper's Fig. 9 on SVHN: how fast the scale of each decoder arrives.
# Needs: sigma-vae-sweep in PATH, or `make env` in this clone; SVHN in DIR (--download fetches it).
# Command: launch/figure9.sh --data_dir=DIR [--budget=paper|short|smoke] [flags of
#   sigma-vae-sweep]; again to go on. A try that downloads nothing:
#   launch/figure9.sh --budget=smoke --dataset=digits
# Prints: the table, the steps to the final scale, and the path of convergence.png.
# Cost: 9 runs of 10 epochs (paper) or 6 of 2 (short); about 110 s an epoch on 2 cores.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/study.sh" figure9 --config=svhn_vae --sweep=figure9 "$@"
