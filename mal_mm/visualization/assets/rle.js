// Masks as COCO files hold them: run lengths down the columns, background first, as a string.
(function (R) {
  'use strict';

  // Ends of the runs: [start, stop) of the mask's stretches are ends[0..1], ends[2..3], ...
  R.decodeRuns = function (counts) {
    const runs = [];
    for (let i = 0; i < counts.length;) {
      let value = 0, shift = 0, more = true;
      while (more && i < counts.length) {
        const bits = counts.charCodeAt(i++) - 48;
        value += (bits & 31) * 2 ** shift; // not <<: counts may pass 31 bits
        shift += 5;
        more = (bits & 32) !== 0;
        if (!more && (bits & 16)) value -= 2 ** shift;
      }
      // from the fourth on, each is stored as the difference to the one two before
      runs.push(runs.length > 2 ? value + runs[runs.length - 2] : value);
    }
    const ends = new Float64Array(runs.length);
    for (let i = 0, at = 0; i < runs.length; i++) ends[i] = at += runs[i];
    return ends;
  };

  // Set the cells of a raster that lie in the mask to `value`, or add it to their bits.
  //
  // ends: see decodeRuns. height: of the image. raster: {bits: Uint16Array, width, height}.
  // view: {x, y, scale}: the image's pixel (x, y) is the raster's corner, a pixel takes `scale`
  // cells. A cell belongs to the mask if its centre does.
  R.paintRuns = function (ends, height, raster, view, value, add) {
    const { bits, width: columns, height: rows } = raster;
    const cell = (pixel, origin) => Math.ceil((pixel - origin) * view.scale - 0.5);
    const firstColumn = Math.max(0, Math.floor(view.x));
    const lastColumn = Math.floor(view.x + columns / view.scale);
    for (let i = 0; i < ends.length; i += 2) {
      let start = ends[i];
      const stop = i + 1 < ends.length ? ends[i + 1] : start;
      if (stop <= firstColumn * height) continue;
      start = Math.max(start, firstColumn * height);
      for (let column = Math.floor(start / height); start < stop; column++) {
        if (column > lastColumn) return;
        const end = Math.min(stop, (column + 1) * height);
        const left = Math.max(0, cell(column, view.x)), right = Math.min(columns, cell(column + 1, view.x));
        const top = Math.max(0, cell(start - column * height, view.y));
        const bottom = Math.min(rows, cell(end - column * height, view.y));
        if (left < right) {
          for (let y = top; y < bottom; y++) {
            for (let at = y * columns + left, until = y * columns + right; at < until; at++) {
              bits[at] = add ? bits[at] | value : value;
            }
          }
        }
        start = end;
      }
    }
  };
})(window.MalReview);
