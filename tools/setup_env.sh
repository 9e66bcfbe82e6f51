#!/usr/bin/env bash
# Makes a virtual environment that holds mal_mm (editable) and everything it needs, mmcv's ops included.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: bash tools/setup_env.sh [--stack onedl|openmmlab] [--venv DIR] [--python EXE] [--force]

Makes a virtual environment with mal_mm (editable), PyTorch, an OpenMMLab stack and mmcv's compiled ops.
Safe to repeat: it returns at once when the environment is complete, and goes on where it was interrupted.

  --stack    onedl (default: maintained, torch >= 2.4) or openmmlab (mmcv 2.1, mmdet 3.3)
  --venv     where (default: .venv for onedl, .venv-openmmlab for openmmlab); never mix two stacks in one
  --python   interpreter for a new environment (default: python3)
  --force    go through every step again

Environment:
  TORCH_INDEX_URL      take torch from this index, e.g. https://download.pytorch.org/whl/cpu for a small CPU build
  TORCH_CUDA_ARCH_LIST CUDA architectures for mmcv's ops (default: asked from nvidia-smi)
  MAX_JOBS             compiler processes (default: all cores)

Takes 4 to 5 minutes on two cores, most of it compiling mmcv; under a minute from a warm pip cache.
EOF
}

stack=onedl venv='' python=python3 force=0
while [ $# -gt 0 ]; do
  case "$1" in
    --stack)  stack=${2:?--stack takes onedl or openmmlab}; shift 2 ;;
    --venv)   venv=${2:?--venv takes a folder}; shift 2 ;;
    --python) python=${2:?--python takes an interpreter}; shift 2 ;;
    --force)  force=1; shift ;;
    -h|--help) usage; exit 0 ;;
    *) echo "setup_env.sh: unknown option '$1'; see --help" >&2; exit 2 ;;
  esac
done
case "$stack" in
  onedl)     torch_spec='torch==2.13.0' torchvision_spec='torchvision==0.28.0' mmcv='onedl-mmcv' other='mmcv' default_venv=.venv ;;
  openmmlab) torch_spec='torch==2.13.0' torchvision_spec='torchvision==0.28.0' mmcv='mmcv' other='onedl-mmcv' default_venv=.venv-openmmlab ;;
  *) echo "setup_env.sh: --stack must be onedl or openmmlab, got '$stack'" >&2; exit 2 ;;
esac

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
invoked_from=$PWD
cd "$root"
case "$venv" in
  '') venv=$root/$default_venv ;;
  /*) ;;
  *)  venv=$invoked_from/$venv ;;
esac
py=$venv/bin/python
stamp=$venv/.mal_mm_complete

# The stamp names all that an install depends on, the place of the editable checkout included.
wanted=$( { echo "$stack $root $torch_spec"; cat requirements/*.txt pyproject.toml setup.py tools/setup_env.sh; } | sha256sum | cut -c1-32)
if [ "$force" = 0 ] && [ -x "$py" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  echo "setup_env.sh: $venv is complete ($stack)"
  exit 0
fi

step() { echo "==> $*"; }

if [ ! -x "$py" ]; then
  step "making $venv"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    { echo "setup_env.sh: $python is older than Python 3.10; name a newer one with --python" >&2; exit 1; }
  "$python" -m venv "$venv" ||
    { echo "setup_env.sh: could not make $venv (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
fi
if "$py" -m pip show -q "$other" >/dev/null 2>&1; then
  echo "setup_env.sh: $venv already holds $other, which shares its import name with $mmcv; give another folder with --venv" >&2
  exit 1
fi
rm -f "$stamp"
pip() { "$py" -m pip --disable-pip-version-check "$@"; }

step 'pip and build tools'
pip install -q -U -r requirements/build.txt
step "$torch_spec"
pip install -q ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} "$torch_spec"

mmcv_ops_work() { "$py" -c 'import mmcv.ops' >/dev/null 2>&1; }
requirement_of() { grep -E "^$1==" "requirements/$stack.txt"; }
mmcv_version_right() { [ "$mmcv==$(pip list --format=freeze 2>/dev/null | sed -n "s/^$mmcv==//p")" = "$(requirement_of "$mmcv")" ]; }

# The ops are compiled for the GPU of this machine if it has one and a CUDA compiler, else for the CPU.
force_cuda=0
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  if command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then
    force_cuda=1
    : "${TORCH_CUDA_ARCH_LIST:=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | sort -u | paste -sd';')}"
    export TORCH_CUDA_ARCH_LIST
  else
    echo "setup_env.sh: a GPU but no nvcc: mmcv's ops are compiled for the CPU only. Labeling does not use them;" >&2
    echo "  phase-2 models with deformable convolution do. Install the CUDA toolkit of your torch and repeat with --force." >&2
  fi
fi
if ! mmcv_version_right || ! mmcv_ops_work; then
  step "mmcv ($stack), compiled with its ops, FORCE_CUDA=$force_cuda: some minutes when pip has no cached wheel"
  export MMCV_WITH_OPS=1 FORCE_CUDA=$force_cuda MAX_JOBS="${MAX_JOBS:-$(nproc)}"
  export CFLAGS="${CFLAGS:--O2 -g0}" # without -g0 the build is half as long again and the wheel 20 times larger
  mmengine=$(grep -E '^(onedl-)?mmengine==' "requirements/$stack.txt")
  pip install -q --no-build-isolation "$mmengine" "$(requirement_of "$mmcv")"
  # pip may have cached a wheel made without ops (a build with isolation) or against another torch.
  if ! mmcv_ops_work; then
    step 'the cached mmcv wheel has no working ops: compiling again'
    pip install -q --no-build-isolation --no-cache-dir --force-reinstall --no-deps "$(requirement_of "$mmcv")"
  fi
fi
step "mmdet and mmpretrain ($stack), mal_mm and its tools"
pip install -q -r "requirements/$stack.txt"
# torchvision would pull its own torch; the versions are a matching pair.
pip install -q --no-deps "$torchvision_spec"
pip install -q --no-build-isolation -e '.[report,dev]'
step 'checking'
"$py" - <<'EOF' || { echo "setup_env.sh: the environment does not work; see above" >&2; exit 1; }
import mmcv.ops, torch, mal_mm  # noqa: E401
print(f'mal_mm {mal_mm.__version__}, torch {torch.__version__}, mmcv {mmcv.__version__} with ops, '
      f'{torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"}')
EOF
echo "$wanted" > "$stamp"
echo "setup_env.sh: $venv is complete; source $venv/bin/activate to use it"
