// Photo, masks and boxes on a canvas, at any zoom.
(function (R) {
  'use strict';

  const COLORS = {
    mask: [255, 45, 120], human: [0, 229, 255], box: [255, 214, 10],
    agreed: [86, 196, 110], extra: [255, 140, 0], missed: [30, 110, 255], // with any colour blindness
  };
  R.COLORS = COLORS;
  const MASK = 1, HUMAN = 2;
  const AGREEMENT = [null, COLORS.extra, COLORS.missed, COLORS.agreed];
  const scratch = document.createElement('canvas');
  let selectedBits = new Uint16Array(0), otherBits = new Uint16Array(0);

  // Colours of neighbours lie far apart: steps of the golden angle.
  function instanceColor(k) {
    const hue = (0.45 + k * 0.61803398875) % 1;
    const channel = (n) => {
      const t = (n + hue * 6) % 6;
      return Math.round(255 * (1 - 0.75 * Math.max(0, Math.min(t, 4 - t, 1))));
    };
    return [channel(5), channel(3), channel(1)];
  }

  const css = (color, alpha) => `rgba(${color.join(',')},${alpha === undefined ? 1 : alpha})`;

  // A square window of the image around a box: {x, y, side} in its pixels.
  R.windowAround = function (box, width, height, margin) {
    const [x, y, w, h] = box;
    if (![x, y, w, h].every(Number.isFinite)) return { x: 0, y: 0, side: Math.max(width, height, 1) };
    const longer = Math.max(w, h, 1);
    const side = longer + 2 * Math.max(2, margin * longer);
    // along the picture's edges where it would leave the picture, centred where that is smaller
    const place = (start, length, limit) => (limit < side ? (limit - side) / 2
      : Math.min(Math.max(start + length / 2 - side / 2, 0), limit - side));
    return { x: place(x, w, width || Infinity), y: place(y, h, height || Infinity), side };
  };

  function isEdge(bits, at, bit, width, reach) {
    return !(bits[at - reach] & bit) || !(bits[at + reach] & bit) ||
      !(bits[at - reach * width] & bit) || !(bits[at + reach * width] & bit);
  }

  function fillPixels(pixels, width, height, layers, colors, ownColor, line) {
    const bits = selectedBits, others = otherBits;
    const put = (at, color, alpha) => {
      pixels[4 * at] = color[0];
      pixels[4 * at + 1] = color[1];
      pixels[4 * at + 2] = color[2];
      pixels[4 * at + 3] = alpha;
    };
    const dark = ownColor.map((c) => c >> 2);
    for (let at = 0; at < width * height; at++) {
      const own = bits[at], other = others[at];
      if (!own && !other) continue;
      if (other) {
        const edge = others[at - line] !== other || others[at + line] !== other ||
          others[at - line * width] !== other || others[at + line * width] !== other;
        put(at, colors[other - 1], edge ? 220 : 70);
      }
      if (layers.agreement && (own & HUMAN || layers.hasHuman)) {
        if (own) put(at, AGREEMENT[own & 3], (own & 3) === 3 ? 75 : 150);
        continue;
      }
      if (own & MASK && layers.mask) {
        if (isEdge(bits, at, MASK, width, line)) put(at, ownColor, 255);
        else if (isEdge(bits, at, MASK, width, line + 1)) put(at, dark, 200);
        else put(at, ownColor, 90);
      }
      if (own & HUMAN && layers.human && isEdge(bits, at, HUMAN, width, line)) put(at, COLORS.human, 255);
    }
  }

  function drawLabel(context, text, x, y, color, size) {
    context.font = `600 ${size}px system-ui, sans-serif`;
    const width = context.measureText(text).width + size * 0.7;
    const left = Math.max(0, Math.min(x, context.canvas.width - width));
    const top = Math.max(0, y - size * 1.45);
    context.fillStyle = css(color, 0.92);
    context.fillRect(left, top, width, size * 1.45);
    context.fillStyle = '#111';
    context.textBaseline = 'middle';
    context.fillText(text, left + size * 0.35, top + size * 0.76);
  }

  // canvas: sized already. view: {x, y, scale}, see paintRuns.
  // scene: {photo: bitmap or null, width, height (of the image),
  //   selected: {box, runs, human, label} or null, others: [{box, runs, label}]}
  // layers: {mask, box, human, agreement, bare, labels, color (of the selected mask, if not pink)}
  R.draw = function (canvas, view, scene, layers) {
    const context = canvas.getContext('2d');
    const { width, height } = canvas;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const line = Math.max(1, Math.round(1.6 * ratio));
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const left = -view.x * view.scale, top = -view.y * view.scale;
    if (scene.photo) {
      context.imageSmoothingEnabled = view.scale < 3;
      context.imageSmoothingQuality = 'high';
      context.drawImage(scene.photo, left, top, scene.width * view.scale, scene.height * view.scale);
    } else {
      context.fillStyle = 'rgba(128,128,128,.25)';
      context.fillRect(left, top, scene.width * view.scale, scene.height * view.scale);
    }
    if (layers.bare) return;

    const cells = width * height;
    if (selectedBits.length < cells) {
      selectedBits = new Uint16Array(cells);
      otherBits = new Uint16Array(cells);
    }
    selectedBits.fill(0, 0, cells);
    otherBits.fill(0, 0, cells);
    const colors = scene.others.map((_, k) => instanceColor(k));
    const onOthers = { bits: otherBits, width, height };
    const onSelected = { bits: selectedBits, width, height };
    if (layers.mask) {
      scene.others.forEach((one, k) => one.runs && R.paintRuns(one.runs, scene.height, onOthers, view, k + 1, false));
    }
    const own = scene.selected;
    if (own && own.runs) R.paintRuns(own.runs, scene.height, onSelected, view, MASK, true);
    if (own && own.human) R.paintRuns(own.human, scene.height, onSelected, view, HUMAN, true);
    scratch.width = width;
    scratch.height = height;
    const scratchContext = scratch.getContext('2d');
    const pixels = scratchContext.createImageData(width, height);
    const shown = { ...layers, hasHuman: Boolean(own && own.human) };
    fillPixels(pixels.data, width, height, shown, colors, layers.color || COLORS.mask, line);
    scratchContext.putImageData(pixels, 0, 0);
    context.drawImage(scratch, 0, 0);

    if (!layers.box) return;
    const frame = (box, color, thick) => {
      if (!box.every(Number.isFinite)) return;
      context.strokeStyle = css(color);
      context.lineWidth = thick;
      context.strokeRect((box[0] - view.x) * view.scale, (box[1] - view.y) * view.scale,
        box[2] * view.scale, box[3] * view.scale);
    };
    scene.others.forEach((one, k) => frame(one.box, colors[k], line));
    if (own) frame(own.box, COLORS.box, line + 0.5);
    if (!layers.labels) return;
    const tag = (one, color) => {
      const x = (one.box[0] - view.x) * view.scale, y = (one.box[1] - view.y) * view.scale;
      const seen = x < width && y < height && x + one.box[2] * view.scale > 0 && y + one.box[3] * view.scale > 0;
      if (seen) drawLabel(context, one.label, x, y, color, 12 * ratio);
    };
    scene.others.forEach((one, k) => tag(one, colors[k]));
    if (own) tag(own, COLORS.box);
  };
})(window.MalReview);
