#!/usr/bin/env bash
# The CIFAR column of the paper's Table 2: every decoder on the hierarchical VAE, with FID.
# Needs: sigma-vae-sweep in PATH, or `make env` in this clone; CIFAR-10 in DIR
#   (--download fetches it); the network of FID, downloaded once (96 MB, checksum) or
#   --extractor_path=FILE. With another, --extractor=NETWORK.keras, the
#   distances bear its name.
# Command: launch/table2_cifar.sh --data_dir=DIR [--budget=paper|short|smoke] [flags of
#   sigma-vae-sweep]; again to go on. A try that downloads nothing:
#   launch/table2_cifar.sh --budget=smoke --config=cifar10_hvae_small --dataset=digits \
#     --extractor=NETWORK.keras
# Prints: the table beside the paper's figures, whether its orderings hold, and where it wrote.
# Cost: 51 runs of 400 epochs (paper) or 34 of 2 (short); 2 hours an epoch on 2 cores: for GPUs.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/study.sh" table2_cifar --config=cifar10_hvae \
  --sweep=decoders_cifar --measures=distances --extractor=inception_2015 "$@"
