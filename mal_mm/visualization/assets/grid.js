// The boxes that pass the filter as crops, a page of them at a time.
(function (R) {
  'use strict';

  const MARGIN = 0.3; // around the box, as a share of its longer side
  const store = R.store;
  const grid = { perPage: 48, page: 0 };
  R.grid = grid;
  let generation = 0; // drawing that began for an earlier page is given up

  // An element; texts are set as text, never read as HTML.
  R.element = function (tag, properties, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(properties || {})) {
      if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
      else if (key === 'class') element.className = value;
      else if (key in element) element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  };

  R.number = (value) => value.toLocaleString('en');
  R.decimal = (value) => (Number.isNaN(value) ? '–' : value.toFixed(2));

  // Photo and masks of a box: {photo, error, runs, human, note}; never rejected.
  R.sceneOf = async function (n, wanted) {
    const scene = { photo: null, error: '', runs: null, human: null, note: '' };
    R.photos.get(store.image[n], wanted).catch(() => {}); // on its way while the mask is loaded
    try {
      const { mask, human, note } = await store.mask(n);
      if (mask) scene.runs = R.decodeRuns(mask);
      if (human) scene.human = R.decodeRuns(human);
      scene.note = note;
      // last: a photo may be closed again as soon as others come
      scene.photo = await R.photos.get(store.image[n], wanted);
    } catch (error) {
      scene.error = error.message;
    }
    scene.width = store.images.width[store.image[n]];
    scene.height = store.images.height[store.image[n]];
    return scene;
  };

  R.boxOf = (n) => Array.from(store.box.subarray(4 * n, 4 * n + 4));

  async function drawCard(canvas, n, mine) {
    const wanted = () => mine === generation;
    const scene = await R.sceneOf(n, wanted);
    if (!wanted()) return;
    const side = Math.round(canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2)) || 200;
    canvas.width = canvas.height = side;
    const box = R.boxOf(n);
    const window_ = R.windowAround(box, scene.width, scene.height, MARGIN);
    const view = { x: window_.x, y: window_.y, scale: side / window_.side };
    scene.selected = { box, runs: scene.runs, human: scene.human };
    scene.others = [];
    R.draw(canvas, view, scene, { ...R.layers, labels: false });
    canvas.parentElement.classList.toggle('no-photo', !scene.photo);
    canvas.parentElement.title = scene.error || scene.note;
    const message = canvas.nextElementSibling;
    message.textContent = scene.photo ? '' : scene.error;
  }

  function makeCard(position) {
    const n = R.order[position];
    const mark = (value, sign, title) => R.element('button', {
      type: 'button', class: `mark mark-${R.marks.NAMES[value]}`, title, ariaLabel: title, tabIndex: -1,
      onclick: (event) => {
        event.stopPropagation();
        R.moveTo(position);
        R.markCurrent(value, false);
      },
    }, sign);
    const flags = store.flagNames(n).map((name) => R.element('span', { class: 'badge' }, name));
    const numbers = [R.element('span', {}, 'quality ', R.element('b', { class: 'num' }, R.decimal(store.quality[n])))];
    if (store.head.withHuman) {
      numbers.push(R.element('span', {}, 'IoU ', R.element('b', { class: 'num' }, R.decimal(store.iou[n]))));
    }
    const card = R.element('article', {
      class: 'card', id: `card-${position}`, role: 'option',
      onclick: () => { R.moveTo(position); R.showViewer(); },
    },
    R.element('div', { class: 'shot' }, R.element('canvas', {}), R.element('span', { class: 'message' })),
    R.element('div', { class: 'caption' },
      R.element('div', { class: 'line' }, R.element('b', { class: 'cut', title: store.className(n) }, store.className(n)),
        R.element('span', { class: 'id soft' }, `#${store.idText(n)}`)),
      R.element('div', { class: 'line' }, ...numbers),
      R.element('div', { class: 'cut soft', title: store.imageName(n) }, store.imageName(n)),
      ...(flags.length ? [R.element('div', { class: 'badges' }, ...flags)] : [])),
    R.element('div', { class: 'card-marks' },
      mark(1, '✓', 'Accept (a)'), mark(2, '✕', 'Reject (r)'), mark(3, '~', 'Needs work (w)')));
    showMark(card, n);
    return card;
  }

  function showMark(card, n) {
    const mark = R.marks.of[n];
    card.dataset.mark = R.marks.NAMES[mark];
    card.ariaLabel = `${store.className(n)}, annotation ${store.idText(n)}, quality ` +
      `${R.decimal(store.quality[n])}, ${R.marks.TITLES[mark]}`;
  }

  grid.pages = () => Math.max(1, Math.ceil(R.order.length / grid.perPage));

  // Draw the page that the cursor is on.
  grid.show = function () {
    generation++;
    const mine = generation;
    grid.page = Math.floor(R.cursor / grid.perPage);
    const first = grid.page * grid.perPage;
    const stop = Math.min(first + grid.perPage, R.order.length);
    const list = document.getElementById('grid');
    const children = [];
    for (let position = first; position < stop; position++) {
      const heading = R.filter.sort === 'class' && (position === first ||
        store.category[R.order[position]] !== store.category[R.order[position - 1]]);
      if (heading) children.push(R.element('h3', { class: 'class-name' }, store.className(R.order[position])));
      children.push(makeCard(position));
    }
    if (!children.length) {
      children.push(R.element('p', { class: 'empty' }, store.count
        ? 'No box passes the filter. “Reset” in the filter shows all again.' : 'The file has no boxes.'));
    }
    list.replaceChildren(...children);
    list.scrollTop = 0;
    list.querySelectorAll('.card').forEach((card, k) => drawCard(card.querySelector('canvas'), R.order[first + k], mine));
    const pages = grid.pages();
    document.getElementById('page-number').textContent = `${R.number(grid.page + 1)} of ${R.number(pages)}`;
    document.getElementById('page-back').disabled = grid.page === 0;
    document.getElementById('page-on').disabled = grid.page >= pages - 1;
    grid.showCursor();
  };

  grid.redraw = function () {
    generation++;
    const first = grid.page * grid.perPage;
    document.querySelectorAll('#grid .card').forEach((card, k) => {
      drawCard(card.querySelector('canvas'), R.order[first + k], generation);
    });
  };

  grid.showCursor = function () {
    if (Math.floor(R.cursor / grid.perPage) !== grid.page) { grid.show(); return; }
    document.querySelector('#grid .current')?.classList.remove('current');
    const card = document.getElementById(`card-${R.cursor}`);
    if (!card) return;
    card.classList.add('current');
    document.getElementById('grid').setAttribute('aria-activedescendant', card.id);
    card.scrollIntoView({ block: 'nearest' });
  };

  // Cards in a row, for the keys up and down.
  grid.columns = function () {
    const cards = document.querySelectorAll('#grid .card');
    let columns = 0;
    while (columns < cards.length && cards[columns].offsetTop === cards[0].offsetTop) columns++;
    return Math.max(1, columns);
  };

  grid.updateMark = function (n) {
    const first = grid.page * grid.perPage;
    document.querySelectorAll('#grid .card').forEach((card, k) => {
      if (n < 0 || R.order[first + k] === n) showMark(card, R.order[first + k]);
    });
  };
})(window.MalReview);
