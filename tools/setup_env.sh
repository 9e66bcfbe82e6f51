#!/usr/bin/env bash
# Makes a virtual environment that holds mal_mm (editable) and everything it needs, mmcv's ops included.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: bash tools/setup_env.sh [--stack onedl|openmmlab] [--venv DIR] [--python EXE] [--force] [--cuda-ops]

Makes a virtual environment with mal_mm (editable), PyTorch, an OpenMMLab stack and mmcv's compiled ops.
Safe to repeat: it returns at once when the environment is complete, and goes on where it was interrupted.

  --stack    onedl (default: maintained, torch >= 2.4) or openmmlab (mmcv 2.1, mmdet 3.3)
  --venv     where (default: .venv for onedl, .venv-openmmlab for openmmlab); never mix two stacks in one
  --python   interpreter for a new environment (default: python3)
  --force    go through every step again
  --cuda-ops compile mmcv's ops for CUDA although no GPU is visible, as while a container image is built;
             needs nvcc and TORCH_CUDA_ARCH_LIST

Environment:
  TORCH_INDEX_URL      take torch from this index, e.g. https://download.pytorch.org/whl/cpu for a small CPU build
  TORCH_CUDA_ARCH_LIST CUDA architectures for mmcv's ops (default: asked from nvidia-smi)
  MAX_JOBS             compiler processes (default: all cores)

Takes 5 to 10 minutes on two cores, most of it compiling mmcv; about a minute from a warm pip cache.
USAGE
}

stack=onedl venv='' python=python3 force=0 cuda_ops=0
while [ $# -gt 0 ]; do
  case "$1" in
    --stack)  stack=${2:?--stack takes onedl or openmmlab}; shift 2 ;;
    --venv)   venv=${2:?--venv takes a folder}; shift 2 ;;
    --python) python=${2:?--python takes an interpreter}; shift 2 ;;
    --force)  force=1; shift ;;
    --cuda-ops) cuda_ops=1; shift ;;
    -h|--help) usage; exit 0 ;;
    *) echo "setup_env.sh: unknown option '$1'; see --help" >&2; exit 2 ;;
  esac
done
torch_spec='torch==2.13.0' torchvision_spec='torchvision==0.28.0' # a matching pair
case "$stack" in
  onedl)     mmcv='onedl-mmcv' foreign='mmengine mmcv mmdet mmpretrain' default_venv=.venv ;;
  openmmlab) mmcv='mmcv' foreign='onedl_mmengine onedl_mmcv onedl_mmdetection onedl_mmpretrain' default_venv=.venv-openmmlab ;;
  *) echo "setup_env.sh: --stack must be onedl or openmmlab, got '$stack'" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case "$venv" in
  '') venv=$root/$default_venv ;;
  /*) ;;
  *)  venv=$PWD/$venv ;;
esac
cd "$root"
py=$venv/bin/python
stamp=$venv/.mal_mm_complete

# The stamp names all that an install depends on, the place of the editable checkout included. The
# linter's settings in pyproject.toml are none of it.
wanted=$( { echo "$stack $root $torch_spec $torchvision_spec"
            cat requirements/*.txt setup.py tools/setup_env.sh
            sed '/^\[tool\.ruff\]/,$d' pyproject.toml; } | sha256sum | cut -c1-32)
is_complete() { [ "$force" = 0 ] && [ -x "$py" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; }
if is_complete; then
  echo "setup_env.sh: $venv is complete ($stack)"
  exit 0
fi

if [ "$cuda_ops" = 1 ]; then
  if [ -z "${TORCH_CUDA_ARCH_LIST:-}" ]; then
    echo "setup_env.sh: --cuda-ops needs TORCH_CUDA_ARCH_LIST, such as '8.0;9.0'" >&2
    exit 2
  fi
  if ! command -v nvcc >/dev/null && [ ! -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then
    echo 'setup_env.sh: --cuda-ops needs nvcc' >&2
    exit 2
  fi
fi
step() { echo "==> [$((SECONDS / 60)) min $((SECONDS % 60)) s] $*"; }
fail() { echo "setup_env.sh: $*" >&2; exit 1; }

mkdir -p "$venv"
if command -v flock >/dev/null; then
  exec 9>"$venv/.setup_env.lock"
  if ! flock -n 9; then
    step "another setup_env.sh works on $venv; waiting for it"
    flock 9
    if is_complete; then
      echo "setup_env.sh: $venv is complete ($stack)"
      exit 0
    fi
  fi
fi

# A venv that was interrupted, or whose interpreter is gone, is made anew; a live one goes on.
if ! "$py" -m pip --version >/dev/null 2>&1; then
  step "making $venv"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is missing or older than Python 3.10; name a newer one with --python"
  rm -rf "$venv/bin" "$venv/lib" "$venv/lib64" "$venv/include" "$venv/pyvenv.cfg"
  "$python" -m venv "$venv" ||
    fail "could not make $venv (on Debian and Ubuntu: apt-get install python3-venv)"
fi
for name in $foreign; do
  if compgen -G "$venv/lib/python3*/site-packages/$name-[0-9]*.dist-info" >/dev/null; then
    fail "$venv already holds ${name//_/-}, which shares its import name with a part of the $stack stack;" \
      "give another folder with --venv"
  fi
done
rm -f "$stamp"
pip() { "$py" -m pip --disable-pip-version-check "$@"; }

has_gpu=0
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then has_gpu=1; fi

step 'pip and build tools'
pip install -q -U -r requirements/build.txt
if [ "$has_gpu" = 0 ] && [ -z "${TORCH_INDEX_URL:-}" ] && ! pip show -q torch >/dev/null 2>&1; then
  echo "    no GPU here; should pip fetch gigabytes of CUDA, interrupt it and set" \
    "TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu"
fi
step "$torch_spec"
pip install -q ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$torch_spec"

mmcv_ops_work() { "$py" -c 'import mmcv.ops' >/dev/null 2>&1; }
requirement_of() { grep -E "^$1==" "requirements/$stack.txt"; }
mmcv_version_right() {
  [ "$mmcv==$(pip list --format=freeze 2>/dev/null | sed -n "s/^$mmcv==//p")" = "$(requirement_of "$mmcv")" ]
}

# The ops are compiled for the GPU of this machine if it has one and a CUDA compiler, else for the CPU.
force_cuda=0
if [ "$cuda_ops" = 1 ]; then
  force_cuda=1
elif [ "$has_gpu" = 1 ]; then
  if command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then
    force_cuda=1
    : "${TORCH_CUDA_ARCH_LIST:=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | sort -u | paste -sd';')}"
    export TORCH_CUDA_ARCH_LIST
  else
    echo "setup_env.sh: a GPU but no nvcc: mmcv's ops are compiled for the CPU only. Labeling does not use them;" >&2
    echo "  phase-2 models with deformable convolution do. Install the CUDA toolkit of your torch and repeat with --force." >&2
  fi
fi
rebuild=$force # --force is how one gets CUDA ops after installing the toolkit
if [ "$rebuild" = 1 ] || ! mmcv_version_right || ! mmcv_ops_work; then
  step "mmcv ($stack), compiled with its ops, FORCE_CUDA=$force_cuda: some minutes when pip has no cached wheel"
  # Without -g0 the build takes half as long again, and the wheel is 20 times larger.
  export MMCV_WITH_OPS=1 FORCE_CUDA=$force_cuda MAX_JOBS="${MAX_JOBS:-$(nproc)}" CFLAGS="${CFLAGS:--O2 -g0}"
  if [ "$rebuild" = 0 ]; then
    mmengine=$(grep -E '^(onedl-)?mmengine==' "requirements/$stack.txt")
    pip install -q --no-build-isolation "$mmengine" "$(requirement_of "$mmcv")"
  fi
  # pip may have cached a wheel made without ops (a build with isolation), for the CPU or another torch.
  if [ "$rebuild" = 1 ] || ! mmcv_ops_work; then
    step 'no usable mmcv wheel in the cache: compiling'
    pip install -q --no-build-isolation --no-cache-dir --force-reinstall --no-deps "$(requirement_of "$mmcv")"
  fi
fi
step "mmdet and mmpretrain ($stack)"
pip install -q -r "requirements/$stack.txt"
# Without --no-deps torchvision would pull a torch of its own.
pip install -q --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$torchvision_spec"
step 'mal_mm and its tools'
# An editable install writes beside the sources, which the environment of the other stack shares.
if command -v flock >/dev/null; then
  exec 8<"$root/setup.py"
  flock 8
fi
pip install -q --no-build-isolation -e '.[report,samples,lvis,fast,boxinst,export,dev]'
if command -v flock >/dev/null; then exec 8<&-; fi
step 'checking'
"$py" - <<'CHECK' || fail 'the environment does not work; see above'
import mmcv.ops, torch, mal_mm  # noqa: E401
print(f'mal_mm {mal_mm.__version__}, torch {torch.__version__}, mmcv {mmcv.__version__} with ops, '
      f'{torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"}')
CHECK
echo "$wanted" > "$stamp.new" && mv "$stamp.new" "$stamp"
step "$venv is complete; source $venv/bin/activate to use it"
