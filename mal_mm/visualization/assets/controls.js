// The filter beside the grid, and the buttons above it.
(function (R) {
  'use strict';

  const store = R.store;
  const $ = (id) => document.getElementById(id);
  const controls = {};
  R.controls = controls;
  const MOST_CLASSES = 200; // listed at a time; the field above the list finds the others

  R.layers = { mask: true, box: true, human: true, agreement: false, others: true, side: false, bare: false };

  // A check box with a count; `set` holds what is chosen.
  function choice(set, value, title, count) {
    const input = R.element('input', {
      type: 'checkbox', checked: set.has(value),
      onchange: () => { if (input.checked) set.add(value); else set.delete(value); R.refilter(); },
    });
    return R.element('label', { class: 'choice' }, input, R.element('span', { class: 'cut', title }, title),
      R.element('span', { class: 'soft num' }, R.number(count)));
  }

  function countWhere(test) {
    let count = 0;
    for (let n = 0; n < store.count; n++) if (test(n)) count++;
    return count;
  }

  function listClasses() {
    const wanted = $('class-search').value.trim().toLowerCase();
    const all = store.head.classes.map((name, k) => k)
      .filter((k) => store.head.classes[k].toLowerCase().includes(wanted))
      .sort((a, b) => store.byClass[b] - store.byClass[a]);
    const rows = all.slice(0, MOST_CLASSES)
      .map((k) => choice(R.filter.classes, k, store.head.classes[k], store.byClass[k]));
    if (all.length > MOST_CLASSES) rows.push(R.element('p', { class: 'soft' }, `and ${all.length - MOST_CLASSES} more`));
    $('classes').replaceChildren(...rows);
  }

  function listMarks() {
    $('marks').replaceChildren(...R.marks.TITLES.map((title, mark) =>
      choice(R.filter.marks, mark, title, R.marks.counts[mark])));
  }

  // A range with a histogram above it, whose bars are chosen by two numbers.
  function listRange(key) {
    const bins = new Int32Array(20);
    for (let n = 0; n < store.count; n++) {
      const value = store[key][n];
      if (!Number.isNaN(value)) bins[Math.min(19, Math.max(0, Math.floor(value * 20)))]++;
    }
    const peak = Math.max(1, ...bins);
    $(`${key}-bars`).replaceChildren(...[...bins].map((count, k) => {
      const bar = R.element('i', { title: `${(k / 20).toFixed(2)} to ${((k + 1) / 20).toFixed(2)}: ${R.number(count)}` });
      bar.style.height = `${count ? Math.max(4, 100 * count / peak) : 0}%`;
      return bar;
    }));
    $(`${key}-peak`).textContent = `highest bar: ${R.number(peak)}`;
    for (const [end, id] of [[0, `${key}-low`], [1, `${key}-high`]]) {
      $(id).onchange = function () {
        const value = Number($(id).value);
        R.filter[key][end] = Number.isFinite(value) ? Math.min(1, Math.max(0, value)) : end;
        R.refilter();
      };
    }
  }

  controls.list = function () {
    listClasses();
    listMarks();
    listRange('quality');
    if (store.head.withHuman) listRange('iou');
    $('iou-filter').hidden = !store.head.withHuman;
    $('class-search').hidden = store.head.classes.length < 12;
    $('sizes').replaceChildren(...R.SIZES.map(([name], k) =>
      choice(R.filter.sizes, k, name, countWhere((n) => R.sizeOf(n) === k))));
    const flags = store.head.flags
      .map((name, bit) => [name, bit, countWhere((n) => store.flags[n] & (1 << bit))])
      .filter(([, , count]) => count);
    $('flag-filter').hidden = !flags.length;
    $('flags').replaceChildren(...flags.map(([name, bit, count]) => choice(R.filter.flags, bit, name, count)));
    $('sort').replaceChildren(...Object.entries(R.SORTS)
      .filter(([key]) => store.head.withHuman || !key.startsWith('iou'))
      .map(([key, [title]]) => R.element('option', { value: key, selected: key === R.filter.sort }, title)));
    controls.show();
  };

  // Bring the fields in line with the filter.
  controls.show = function () {
    for (const key of ['quality', 'iou']) {
      const [low, high] = R.filter[key];
      $(`${key}-low`).value = low;
      $(`${key}-high`).value = high;
      $(`${key}-bars`).childNodes.forEach((bar, k) => {
        bar.classList.toggle('out', (k + 1) / 20 <= low || k / 20 >= high);
      });
    }
    $('sort').value = R.filter.sort;
    $('per-class').value = String(R.filter.perClass);
    $('search').value = R.filter.text;
  };

  controls.showCounts = function () {
    const all = R.order.length === store.count;
    const boxes = store.count === 1 ? 'box' : 'boxes';
    $('shown').textContent = all ? `${R.number(store.count)} ${boxes}`
      : `${R.number(R.order.length)} of ${R.number(store.count)} ${boxes}`;
  };

  controls.showMarks = function () {
    const [, accepted, rejected, work] = R.marks.counts;
    $('marked').replaceChildren(...[['accept', '✓', accepted], ['reject', '✕', rejected], ['needs_work', '~', work]]
      .map(([name, sign, count]) => R.element('span', { class: `count-${name}`, title: name.replace('_', ' ') },
        `${sign}\u2009${R.number(count)}`)));
    listMarks();
  };

  controls.showLayers = function () {
    document.querySelectorAll('[data-layer]').forEach((button) => {
      button.setAttribute('aria-pressed', String(R.layers[button.dataset.layer]));
      const needsHuman = ['human', 'agreement', 'side'].includes(button.dataset.layer);
      button.hidden = (needsHuman && !store.head.withHuman) ||
        (['others', 'side'].includes(button.dataset.layer) && !R.viewer.open);
    });
    $('legend').hidden = !R.layers.agreement;
    $('canvas-human').hidden = !(R.layers.side && store.head.withHuman);
  };

  controls.toggleLayer = function (name) {
    R.layers[name] = !R.layers[name];
    controls.showLayers();
    if (R.viewer.open) { R.viewer.resized(); R.viewer.draw(); } else R.grid.redraw();
  };

  controls.listen = function () {
    $('class-search').oninput = listClasses;
    $('sort').onchange = () => { R.filter.sort = $('sort').value; R.refilter(); };
    $('per-class').onchange = () => { R.filter.perClass = Number($('per-class').value); R.refilter(); };
    let typing = 0;
    $('search').oninput = function () {
      clearTimeout(typing);
      typing = setTimeout(() => { R.filter.text = $('search').value.trim(); R.refilter(); }, 200);
    };
    $('reset').onclick = function () {
      R.filter = R.newFilter();
      controls.list();
      R.refilter();
    };
    for (const id of ['filter-open', 'filter-close']) {
      $(id).onclick = () => document.body.classList.toggle('filter-shown', id === 'filter-open');
    }
    document.querySelectorAll('[data-color]').forEach((patch) => {
      patch.style.background = `rgb(${R.COLORS[patch.dataset.color].join(',')})`;
    });
    document.querySelectorAll('[data-layer]').forEach((button) => {
      button.onclick = () => controls.toggleLayer(button.dataset.layer);
    });
    $('export').onclick = R.marks.exportFile;
    $('import').onclick = () => $('import-file').click();
    $('import-file').onchange = async function () {
      const [file] = $('import-file').files;
      if (!file) return;
      try {
        R.say(R.marks.fromJson(await file.text()));
      } catch (error) {
        R.say(`${file.name}: ${error.message}. Nothing was taken over.`);
      }
      $('import-file').value = '';
    };
    $('photo-folder').onchange = function () {
      R.photos.choose($('photo-folder').files);
      $('photo-problem').hidden = true;
      R.grid.redraw();
    };
  };
})(window.MalReview);
