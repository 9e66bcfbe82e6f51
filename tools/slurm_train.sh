#!/usr/bin/env bash
# Train on a Slurm cluster.
set -euo pipefail
if [ $# -lt 4 ]; then
  cat >&2 <<'USAGE'
Usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]

  Environment: GPUS=8 (in all) GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS= MASTER_PORT=29500
               PYTHON=(interpreter that has mal_mm)
USAGE
  exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
launch_slurm "$1" "$2" train.py "$3" --work-dir "$4" "${@:5}"
