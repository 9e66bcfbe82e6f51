# Sourced by dist_*.sh and slurm_*.sh.
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# Sets `python` to $PYTHON, else the first on PATH or in the checkout's .venv that has mal_mm.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" "$(command -v python || true)" "$tools/../.venv/bin/python"; do
    # From /, so that a checkout in the working folder does not pass for an installed package.
    if [ -n "$candidate" ] && (cd / && "$candidate" -c \
        'import importlib.util, sys; sys.exit(importlib.util.find_spec("mal_mm") is None)') 2>/dev/null; then
      python=$candidate
      return
    fi
  done
  echo "$(basename "$0"): no Python here has mal_mm; run bash tools/setup_env.sh in a checkout, activate the" \
    "environment that has it, or name its interpreter in PYTHON" >&2
  exit 1
}

# Prints $PORT; without it a free one, so that two jobs on a machine do not meet.
choose_port() {
  if [ -n "${PORT:-}" ]; then
    echo "$PORT"
  elif [ "${NNODES:-1}" = 1 ]; then
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
  else
    echo 29500 # every node has to name the same
  fi
}

# launch_ranks PROCESSES SCRIPT ARGS...: one process per GPU, or per CPU rank where there is no GPU.
launch_ranks() {
  local processes=$1 script=$2
  shift 2
  find_python
  case "$processes" in
    ''|*[!0-9]*|0) echo "$(basename "$0"): GPUS must be a positive number, got '$processes'" >&2; exit 2 ;;
  esac
  # torchrun would set one thread as well, but with a page of warning.
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  exec "$python" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$processes" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$(choose_port)" \
    "$tools/$script" "$@" --launcher pytorch
}

# launch_slurm PARTITION JOB_NAME SCRIPT ARGS...
launch_slurm() {
  local partition=$1 job_name=$2 script=$3 gpus_per_node=${GPUS_PER_NODE:-8}
  shift 3
  find_python
  # shellcheck disable=SC2086  # SRUN_ARGS is a list of options
  exec srun --partition="$partition" --job-name="$job_name" --gres="gpu:$gpus_per_node" \
    --ntasks="${GPUS:-8}" --ntasks-per-node="$gpus_per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "$python" -u "$tools/$script" "$@" --launcher slurm
}
