#!/usr/bin/env bash
# Evaluate a checkpoint on a Slurm cluster.
set -euo pipefail
if [ $# -lt 4 ]; then
  cat >&2 <<'USAGE'
Usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]

  Environment: GPUS=8 (in all) GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS= MASTER_PORT=29500
               PYTHON=(interpreter that has mal_mm)
USAGE
  exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
launch_slurm "$1" "$2" test.py "$3" "$4" "${@:5}"
