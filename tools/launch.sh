# Sourced by dist_*.sh and slurm_*.sh.
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
name=$(basename "$0")

# explain COUNT ARGUMENTS HELP -- "$@": prints the usage if it is asked for, or if arguments are missing.
explain() {
  local count=$1 usage="Usage: bash tools/$name $2" help=$3
  shift 4
  case "${1:-}" in
    -h|--help) printf '%s\n\n%s\n' "$usage" "$help"; exit 0 ;;
  esac
  if [ $# -lt "$count" ]; then
    printf '%s\n%s\n' "$usage" "bash tools/$name --help says more" >&2
    exit 2
  fi
}

ranks_help='  GPUS  processes on this machine: one per GPU; where there is no GPU, ranks on the CPU

Environment:
  NNODES=1               machines that work together
  NODE_RANK=0            number of this one, from 0
  MASTER_ADDR=127.0.0.1  address of machine 0, as the others reach it
  PORT                   free on machine 0; default: any free one, 29500 with several machines
  PYTHON                 interpreter that has mal_mm

Two machines with 8 GPUs each: the same command on both, at about the same time. They need the same code and
data at the same paths, and a work dir that both see, which machine 0 writes and --resume reads.
  host0$ NNODES=2 NODE_RANK=0 MASTER_ADDR=host0 bash tools/dist_train.sh configs/mal/vit_mae_base.py 8
  host1$ NNODES=2 NODE_RANK=1 MASTER_ADDR=host0 bash tools/dist_train.sh configs/mal/vit_mae_base.py 8
Should they not find each other, name the network: export NCCL_SOCKET_IFNAME=eth0 (GLOO_SOCKET_IFNAME on CPUs).
The batch grows with the ranks; --auto-scale-lr fits the learning rate to it.'

slurm_help='Environment:
  GPUS=8            processes in all, one per GPU
  GPUS_PER_NODE=8   0: ranks on the CPU, as many nodes as Slurm likes
  CPUS_PER_TASK=5   for each process and its data workers
  SRUN_ARGS=        more options of srun, such as "--time=24:00:00 --account=me"
  MASTER_PORT=29500 choose another for a second job on the same node
  PYTHON            interpreter that has mal_mm

Two nodes with 8 GPUs each, going on where a run that was cut off ended:
  GPUS=16 bash tools/slurm_train.sh gpu mal configs/mal/vit_mae_base.py work_dirs/mal --auto-scale-lr --resume
Code, data and work dir must be on a file system that all nodes see.'

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
  echo "$name: no Python here has mal_mm; run bash tools/setup_env.sh in a checkout, activate the" \
    "environment that has it, or name its interpreter in PYTHON" >&2
  exit 1
}

# need_number NAME VALUE LOWEST
need_number() {
  case "$2" in
    ''|*[!0-9]*) ;;
    *) if [ "$2" -ge "$3" ]; then return; fi ;;
  esac
  echo "$name: $1 must be a number from $3, got '$2'" >&2
  exit 2
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
  local processes=$1 script=$2 nodes=${NNODES:-1} node=${NODE_RANK:-0}
  shift 2
  need_number GPUS "$processes" 1
  need_number NNODES "$nodes" 1
  need_number NODE_RANK "$node" 0
  if [ "$node" -ge "$nodes" ]; then
    echo "$name: NODE_RANK counts from 0 to NNODES - 1, got $node of $nodes" >&2
    exit 2
  fi
  if [ "$nodes" -gt 1 ] && [ -z "${MASTER_ADDR:-}" ]; then
    echo "$name: with NNODES=$nodes, MASTER_ADDR must name machine 0 on every machine" >&2
    exit 2
  fi
  find_python
  # torchrun would set one thread as well, but with a page of warning.
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  exec "$python" "$tools/ranks.py" \
    --nnodes="$nodes" --node_rank="$node" --nproc_per_node="$processes" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$(choose_port)" \
    "$tools/$script" "$@" --launcher pytorch
}

# launch_slurm PARTITION JOB_NAME SCRIPT ARGS...
launch_slurm() {
  local partition=$1 job_name=$2 script=$3 gpus=${GPUS:-8} gpus_per_node=${GPUS_PER_NODE:-8} per_node=()
  shift 3
  need_number GPUS "$gpus" 1
  need_number GPUS_PER_NODE "$gpus_per_node" 0
  if [ "$gpus_per_node" -gt 0 ]; then
    if [ "$gpus_per_node" -gt "$gpus" ]; then gpus_per_node=$gpus; fi
    per_node=(--gres="gpu:$gpus_per_node" --ntasks-per-node="$gpus_per_node")
  fi
  find_python
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  # shellcheck disable=SC2086  # SRUN_ARGS is a list of options
  exec srun --partition="$partition" --job-name="$job_name" --ntasks="$gpus" \
    ${per_node[@]+"${per_node[@]}"} --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "$python" -u "$tools/$script" "$@" --launcher slurm
}
