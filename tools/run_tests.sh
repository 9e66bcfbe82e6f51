#!/usr/bin/env bash
# Sets up the environment of a stack and runs the tests in it.
set -euo pipefail
stack=onedl
case "${1:-}" in
  -h|--help)
    echo 'Usage: bash tools/run_tests.sh [--stack onedl|openmmlab] [options of pytest]'
    echo '  onedl (default) runs all tests but those marked long; openmmlab those marked neither long nor slow, without the parts'
    echo '  that import nothing of the stack. -m EXPRESSION overrides the marks: -m long runs the long ones.'
    exit 0 ;;
  --stack) stack=${2:?--stack takes onedl or openmmlab}; shift 2 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bash "$root/tools/setup_env.sh" --stack "$stack"
case "$stack" in
  onedl) venv=$root/.venv selection=(-m 'not long') ;;
  openmmlab)
    venv=$root/.venv-openmmlab selection=(-m 'not slow and not long')
    for part in formats instant samples test_geometry.py labeling/test_job.py \
        runtime \
        evaluation/test_boundary_iou.py evaluation/test_mask_iou.py visualization/test_overlay.py \
        visualization/test_report.py visualization/test_training_curves.py; do
      selection+=(--ignore "tests/$part")
    done ;;
esac
cd "$root"
# One thread a process: two workers with two threads each get in each other's way on two cores.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$venv/bin/python" -m pytest -n "${PYTEST_WORKERS:-2}" --dist loadfile ${selection[@]+"${selection[@]}"} "$@"
