#!/usr/bin/env bash
# The paper's Table 1: beta-VAEs of a grid and the calibrated decoders on SVHN, with FID.
# Needs: sigma-vae-sweep in PATH, or `make env` in this clone; SVHN in DIR (--download fetches it);
#   the network of FID, downloaded once (96 MB, checksum) or --extractor_path=FILE. With another,
#   --extractor=NETWORK.keras, the distances bear its name.
# Command: launch/table1.sh --data_dir=DIR [--budget=paper|short|smoke] [flags of
#   sigma-vae-sweep]; again to go on. A try that downloads nothing:
#   launch/table1.sh --budget=smoke --dataset=digits --extractor=NETWORK.keras
# Prints: the table beside the paper's figures, whether its orderings hold, and where it wrote.
# Cost: 24 runs of 10 epochs (paper) or 16 of 2 (short); about 110 s an epoch on 2 cores.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/study.sh" table1 --config=svhn_vae --sweep=beta \
  --measures=distances --extractor=inception_2015 "$@"
