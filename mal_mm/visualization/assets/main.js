// Where the reviewer is, and how the parts of the page work together.
(function (R) {
  'use strict';

  const store = R.store;
  const $ = (id) => document.getElementById(id);
  R.order = new Int32Array(0); // boxes that pass the filter
  R.cursor = 0; // place in it

  R.current = () => (R.cursor < R.order.length ? R.order[R.cursor] : -1);

  let silence = 0;
  R.say = function (text) {
    $('message').textContent = text;
    $('message').hidden = false;
    clearTimeout(silence);
    silence = setTimeout(() => { $('message').hidden = true; }, 6000);
  };

  R.refilter = function () {
    const before = R.current();
    R.order = R.applyFilter(R.filter);
    // the box in view stays where it can; a new order begins at its start
    const at = R.viewer.open && before >= 0 ? R.order.indexOf(before) : -1;
    R.cursor = Math.max(0, at);
    R.controls.show();
    R.controls.showCounts();
    if (R.viewer.open && R.order.length) R.viewer.show(true);
    else { setViewer(false); R.grid.show(); }
  };

  R.moveTo = function (position) {
    R.cursor = Math.min(Math.max(position, 0), Math.max(0, R.order.length - 1));
    if (!R.viewer.open) R.grid.showCursor();
  };

  function goTo(position) {
    const before = R.cursor;
    R.moveTo(position);
    if (R.viewer.open && R.cursor !== before) R.viewer.show(true);
  }

  R.step = (by) => goTo(R.cursor + by);
  R.stepPage = function (by) {
    if (R.viewer.open) { R.stepImage(by); return; }
    const page = Math.min(Math.max(R.grid.page + by, 0), R.grid.pages() - 1);
    goTo(page * R.grid.perPage);
  };

  // To the next box in the order that is in another image.
  R.stepImage = function (by) {
    const n = R.current();
    if (n < 0) return;
    let position = R.cursor;
    while (position >= 0 && position < R.order.length && store.image[R.order[position]] === store.image[n]) position += by;
    if (position >= 0 && position < R.order.length) goTo(position);
  };

  R.markCurrent = function (mark, goOn) {
    const n = R.current();
    if (n < 0) return;
    R.marks.set(n, mark);
    if (!goOn) return;
    if (R.cursor + 1 < R.order.length) R.step(1);
    else R.say('That was the last box that passes the filter.');
  };

  R.undo = function () {
    const n = R.marks.undo();
    const position = n < 0 ? -1 : R.order.indexOf(n);
    if (n < 0) R.say('There is no mark to take back.');
    else if (position >= 0) goTo(position);
  };

  function setViewer(open) {
    R.viewer.open = open;
    document.body.classList.toggle('viewing', open);
    $('viewer').hidden = !open;
    $('grid-side').hidden = open;
    R.controls.showLayers();
  }

  R.showViewer = function () {
    if (R.current() < 0) return;
    setViewer(true);
    R.viewer.show(false);
  };

  R.showGrid = function () {
    setViewer(false);
    R.grid.show();
  };

  R.escape = function () {
    if (document.body.classList.contains('filter-shown')) document.body.classList.remove('filter-shown');
    else if (R.viewer.open) R.showGrid();
  };

  function showTab(name) {
    document.body.dataset.tab = name;
    for (const each of ['review', 'summary']) {
      $(each).hidden = each !== name;
      $(`tab-${each}`).setAttribute('aria-selected', String(each === name));
    }
  }

  function fitPage() {
    const perPage = window.innerWidth < 700 ? 20 : 48;
    if (perPage === R.grid.perPage) return;
    R.grid.perPage = perPage;
    if (!R.viewer.open) R.grid.show();
  }

  // Photos that are not where the page looks for them: say so once, and what helps.
  function onPhotoFailure() {
    if (R.photos.loaded === 0 && R.photos.failed === 3) $('photo-problem').hidden = false;
  }

  function listen() {
    R.controls.listen();
    R.listenToKeys();
    R.marks.onChange = function (n) {
      R.controls.showMarks();
      R.grid.updateMark(n);
      R.viewer.updateMark();
    };
    R.photos.onFailure = onPhotoFailure;
    for (const tab of ['review', 'summary']) $(`tab-${tab}`).onclick = () => showTab(tab);
    document.querySelectorAll('[data-class]').forEach((link) => {
      link.onclick = function () {
        const place = store.head.classes.indexOf(link.dataset.class);
        if (place < 0) return;
        R.filter = R.newFilter();
        R.filter.classes.add(place);
        R.controls.list();
        showTab('review');
        R.refilter();
      };
    });
    $('page-back').onclick = () => R.stepPage(-1);
    $('page-on').onclick = () => R.stepPage(1);
    for (const [id, action] of Object.entries({
      'box-back': () => R.step(-1), 'box-on': () => R.step(1), 'image-back': () => R.stepImage(-1),
      'image-on': () => R.stepImage(1), 'zoom-in': () => R.viewer.zoom(1.3), 'zoom-out': () => R.viewer.zoom(1 / 1.3),
      'zoom-box': () => R.viewer.fitBox(), 'zoom-image': () => R.viewer.fitImage(), 'close-viewer': () => R.showGrid(),
      'open-help': () => R.toggleHelp(), 'close-help': () => R.toggleHelp(),
    })) $(id).onclick = action;
    document.querySelectorAll('#viewer [data-set-mark]').forEach((button) => {
      button.onclick = () => R.markCurrent(Number(button.dataset.setMark), true);
    });
    R.viewer.listen($('canvas'));
    R.viewer.listen($('canvas-human'));
    window.addEventListener('resize', function () { fitPage(); R.viewer.resized(); });
  }

  async function begin() {
    R.addHead(JSON.parse($('head').textContent));
    R.marks.onProblem = R.say;
    try {
      await store.loadIndex((share) => { $('loading-bar').value = share; });
    } catch (error) {
      $('loading-text').textContent = `${error.message}. Is the folder "data" still beside this page?`;
      return;
    }
    R.marks.begin();
    R.grid.perPage = window.innerWidth < 700 ? 20 : 48;
    listen();
    R.controls.list();
    R.controls.showMarks();
    $('loading').hidden = true;
    showTab(location.hash === '#summary' ? 'summary' : 'review');
    R.refilter();
    document.body.dataset.ready = 'true';
  }

  begin();
})(window.MalReview);
