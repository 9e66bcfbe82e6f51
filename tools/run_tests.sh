#!/usr/bin/env bash
# Sets up the environment of a stack and runs the tests in it.
set -euo pipefail
stack=onedl
case "${1:-}" in
  -h|--help)
    echo 'Usage: bash tools/run_tests.sh [--stack onedl|openmmlab] [options of pytest]'
    echo '  onedl (default) runs all tests, openmmlab those not marked slow; -m EXPRESSION overrides that.'
    exit 0 ;;
  --stack) stack=${2:?--stack takes onedl or openmmlab}; shift 2 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/tools/setup_env.sh" --stack "$stack"
case "$stack" in
  onedl)     venv=$root/.venv selection=() ;;
  openmmlab) venv=$root/.venv-openmmlab selection=(-m 'not slow') ;;
esac
cd "$root"
# One thread a process: two workers with two threads each get in each other's way on two cores.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$venv/bin/python" -m pytest -n "${PYTEST_WORKERS:-2}" --dist loadfile ${selection[@]+"${selection[@]}"} "$@"
