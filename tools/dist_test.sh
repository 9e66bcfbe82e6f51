#!/usr/bin/env bash
# Evaluate a checkpoint with several processes on this machine, or on this node of several.
set -euo pipefail
if [ $# -lt 3 ]; then
  cat >&2 <<'USAGE'
Usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]

  GPUS  processes on this machine: one per GPU; where there is no GPU, ranks on the CPU
  Environment: NNODES=1 NODE_RANK=0 MASTER_ADDR=127.0.0.1 PORT=(a free one; 29500 with several nodes)
               PYTHON=(interpreter that has mal_mm)
USAGE
  exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
launch_ranks "$3" test.py "$1" "$2" "${@:4}"
