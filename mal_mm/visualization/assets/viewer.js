// One box in its whole photo: zoom, pan, the other boxes of the image, and all that is known.
(function (R) {
  'use strict';

  const store = R.store;
  const LEAST_SIDE = 64; // pixels of the image around a tiny box, to see where it is
  const MOST_OTHERS = 300; // drawn beside the box; more would cover the photo
  const view = { x: 0, y: 0, scale: 1 };
  const viewer = { open: false, view, scene: null };
  R.viewer = viewer;
  let generation = 0, frame = 0;
  const canvases = () => [document.getElementById('canvas'), document.getElementById('canvas-human')];

  function resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const canvas of canvases()) {
      canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
      canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
    }
  }

  // Show a part of the image, {x, y, w, h} in its pixels, as large as it can be.
  function frameOn(x, y, w, h) {
    const [canvas] = canvases();
    view.scale = Math.min(canvas.width / w, canvas.height / h);
    view.x = x - (canvas.width / view.scale - w) / 2;
    view.y = y - (canvas.height / view.scale - h) / 2;
  }

  viewer.fitImage = function () {
    if (!viewer.scene) return;
    frameOn(0, 0, viewer.scene.width || 1, viewer.scene.height || 1);
    viewer.draw();
  };

  viewer.fitBox = function () {
    const scene = viewer.scene;
    if (!scene) return;
    const [x, y, w, h] = scene.selected.box;
    if (![x, y, w, h].every(Number.isFinite)) { viewer.fitImage(); return; }
    const longer = Math.max(w, h);
    const room = Math.max(0.5 * longer, (LEAST_SIDE - longer) / 2);
    frameOn(x - room, y - room, w + 2 * room, h + 2 * room);
    viewer.draw();
  };

  viewer.zoom = function (factor, clientX, clientY) {
    const [canvas] = canvases();
    const place = canvas.getBoundingClientRect();
    const ratio = canvas.width / place.width;
    const px = clientX === undefined ? canvas.width / 2 : (clientX - place.left) * ratio;
    const py = clientY === undefined ? canvas.height / 2 : (clientY - place.top) * ratio;
    const scale = Math.min(60, Math.max(0.02, view.scale * factor));
    view.x += px / view.scale - px / scale;
    view.y += py / view.scale - py / scale;
    view.scale = scale;
    viewer.draw();
  };

  viewer.pan = function (dx, dy) { // in CSS pixels
    const [canvas] = canvases();
    const ratio = canvas.width / canvas.clientWidth;
    view.x -= dx * ratio / view.scale;
    view.y -= dy * ratio / view.scale;
    viewer.draw();
  };

  viewer.draw = function () {
    if (frame) return;
    frame = requestAnimationFrame(function () {
      frame = 0;
      if (!viewer.open || !viewer.scene) return;
      const [own, human] = canvases();
      const layers = { ...R.layers, labels: true };
      const scene = { ...viewer.scene, others: R.layers.others ? viewer.scene.others : [] };
      const beside = R.layers.side && store.head.withHuman;
      if (beside) layers.human = layers.agreement = false;
      R.draw(own, view, scene, layers);
      if (beside) {
        const truth = { ...scene, others: [], selected: { ...scene.selected, runs: scene.human } };
        R.draw(human, view, truth, { ...layers, color: R.COLORS.human, labels: false });
      }
    });
  };

  const label = (n) => `#${store.idText(n)} ${store.className(n)} ${R.decimal(store.quality[n])}`;

  async function loadOthers(n, mine) {
    const [first, stop] = store.boxesOfImage(store.image[n]);
    const others = [];
    for (let k = first; k < stop && others.length < MOST_OTHERS; k++) {
      if (k === n) continue;
      const { mask } = await store.mask(k);
      if (mine !== generation) return;
      others.push({ n: k, box: R.boxOf(k), runs: mask ? R.decodeRuns(mask) : null, label: label(k) });
    }
    viewer.scene.others = others.sort((a, b) => R.area(b.n) - R.area(a.n)); // small ones on top
    viewer.draw();
  }

  // Show the box that the cursor is on. A step within the image keeps the view if `stay`.
  viewer.show = async function (stay) {
    const n = R.current();
    if (n < 0) { R.showGrid(); return; }
    generation++;
    const mine = generation;
    const sameImage = viewer.scene && viewer.scene.image === store.image[n];
    showFacts(n, null);
    const scene = await R.sceneOf(n, () => mine === generation);
    if (mine !== generation) return;
    R.photos.pinned = store.image[n];
    scene.image = store.image[n];
    scene.selected = { box: R.boxOf(n), runs: scene.runs, human: scene.human, label: label(n) };
    scene.others = [];
    viewer.scene = scene;
    resize();
    if (stay && sameImage) viewer.draw(); else viewer.fitBox();
    showFacts(n, scene);
    await loadOthers(n, mine).catch(() => {});
    // the next photo may come meanwhile
    const following = R.order[R.cursor + 1];
    if (following !== undefined && mine === generation) R.photos.get(store.image[following], () => true).catch(() => {});
  };

  viewer.resized = function () {
    if (!viewer.open) return;
    resize();
    viewer.draw();
  };

  function showFacts(n, scene) {
    const [first, stop] = store.boxesOfImage(store.image[n]);
    const box = R.boxOf(n).map((v) => (Number.isNaN(v) ? '–' : Math.round(v * 10) / 10));
    const rows = [
      ['quality', R.decimal(store.quality[n])],
      ...(store.head.withHuman ? [['IoU, human mask', R.decimal(store.iou[n])]] : []),
      ['mask fills', Number.isNaN(store.fill[n]) ? '–' : `${Math.round(100 * store.fill[n])} % of its box`],
      ['box', `${box[2]} × ${box[3]} px at (${box[0]}, ${box[1]})`],
      ['image', store.imageName(n)],
      ['boxes in image', R.number(stop - first)],
    ];
    const flags = store.flagNames(n);
    if (flags.length) rows.push(['flags', flags.join(', ')]);
    if (scene && scene.note) rows.push(['said of it', scene.note]);
    if (scene && scene.error) rows.push(['photo', scene.error]);
    document.getElementById('facts').replaceChildren(
      ...rows.flatMap(([name, value]) => [R.element('dt', {}, name), R.element('dd', {}, String(value))]));
    document.getElementById('box-name').textContent = `${store.className(n)} #${store.idText(n)}`;
    document.getElementById('position').textContent =
      `${R.number(R.cursor + 1)} of ${R.number(R.order.length)}`;
    viewer.updateMark();
  }

  viewer.updateMark = function () {
    const n = R.current();
    if (n < 0) return;
    const mark = R.marks.of[n];
    document.getElementById('viewer').dataset.mark = R.marks.NAMES[mark];
    document.getElementById('box-mark').textContent = R.marks.TITLES[mark];
    document.querySelectorAll('#viewer [data-set-mark]').forEach((button) => {
      button.setAttribute('aria-pressed', String(Number(button.dataset.setMark) === mark));
    });
  };

  // The smallest box of the image under a point of the canvas becomes the current one.
  function selectAt(clientX, clientY) {
    const [canvas] = canvases();
    const place = canvas.getBoundingClientRect();
    const ratio = canvas.width / place.width;
    const x = view.x + (clientX - place.left) * ratio / view.scale;
    const y = view.y + (clientY - place.top) * ratio / view.scale;
    const hit = viewer.scene.others.filter(({ box }) =>
      x >= box[0] && y >= box[1] && x <= box[0] + box[2] && y <= box[1] + box[3]);
    if (!hit.length) return;
    const n = hit[hit.length - 1].n;
    const position = R.order.indexOf(n);
    if (position < 0) R.say('That box does not pass the filter.');
    else { R.moveTo(position); viewer.show(true); }
  }

  // Mouse, pen and fingers: drag to pan, two fingers or the wheel to zoom, tap to choose a box.
  viewer.listen = function (canvas) {
    const fingers = new Map();
    let moved = 0;
    canvas.addEventListener('wheel', function (event) {
      event.preventDefault();
      viewer.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.clientX, event.clientY);
    }, { passive: false });
    canvas.addEventListener('pointerdown', function (event) {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
      if (fingers.size === 1) moved = 0;
    });
    canvas.addEventListener('pointermove', function (event) {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
      moved += Math.abs(dx) + Math.abs(dy);
      if (fingers.size === 2) {
        const other = [...fingers.values()].find((each) => each.pointerId !== event.pointerId);
        const reach = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
        viewer.pan(dx / 2, dy / 2);
        viewer.zoom(reach(event) / Math.max(1, reach(before)),
          (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
      } else viewer.pan(dx, dy);
      fingers.set(event.pointerId, event);
    });
    const end = function (event) {
      const last = fingers.delete(event.pointerId) && fingers.size === 0;
      if (last && event.type === 'pointerup' && moved < 6 && viewer.scene) selectAt(event.clientX, event.clientY);
    };
    canvas.addEventListener('pointerup', end);
    canvas.addEventListener('pointercancel', end);
    canvas.addEventListener('dblclick', () => viewer.fitBox());
  };
})(window.MalReview);
