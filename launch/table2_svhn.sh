#!/usr/bin/env bash
# The SVHN column of the paper's Table 2: every decoding distribution, with FID.
# Needs: sigma-vae-sweep in PATH, or `make env` in this clone; SVHN in DIR (--download fetches it);
#   the network of FID, downloaded once (96 MB, checksum) or --extractor_path=FILE. With another,
#   --extractor=NETWORK.keras, the distances bear its name.
# Command: launch/table2_svhn.sh --data_dir=DIR [--budget=paper|short|smoke] [flags of
#   sigma-vae-sweep]; again to go on. A try that downloads nothing:
#   launch/table2_svhn.sh --budget=smoke --dataset=digits --extractor=NETWORK.keras
# Prints: the table beside the paper's figures, whether its orderings hold, and where it wrote.
# Cost: 51 runs of 10 epochs (paper) or 34 of 2 (short); about 110 s an epoch on 2 cores.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/study.sh" table2_svhn --config=svhn_vae --sweep=decoders \
  --measures=distances --extractor=inception_2015 "$@"
