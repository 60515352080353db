#!/usr/bin/env bash
# The paper's Table 3: decoders on MNIST, with FID.
# Needs: sigma-vae-sweep in PATH, or `make env` in this clone; MNIST in DIR (--download fetches it);
#   the network of FID, downloaded once (96 MB, checksum) or --extractor_path=FILE. With another,
#   --extractor=NETWORK.keras, the distances bear its name.
# Command: launch/table3.sh --data_dir=DIR [--budget=paper|short|smoke] [flags of
#   sigma-vae-sweep]; again to go on. A try that downloads nothing:
#   launch/table3.sh --budget=smoke --dataset=digits --extractor=NETWORK.keras
# Prints: the table beside the paper's figures, whether its orderings hold, and where it wrote.
# Cost: 30 runs of 10 epochs (paper) or 20 of 2 (short); about 90 s an epoch on 2 cores.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/study.sh" table3 --config=mnist_vae --sweep=table3 \
  --measures=distances --extractor=inception_2015 "$@"
