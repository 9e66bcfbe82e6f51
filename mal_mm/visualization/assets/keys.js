// The keyboard; every key has a button too.
(function (R) {
  'use strict';

  const $ = (id) => document.getElementById(id);
  // key -> [what it does, action]; listed in the help as they stand here
  const KEYS = [
    [['j', 'ArrowRight'], 'next box', () => R.step(1)],
    [['k', 'ArrowLeft'], 'box before', () => R.step(-1)],
    [['ArrowDown'], 'a row down; in the photo: next image', () => (R.viewer.open ? R.stepImage(1) : R.step(R.grid.columns()))],
    [['ArrowUp'], 'a row up; in the photo: image before', () => (R.viewer.open ? R.stepImage(-1) : R.step(-R.grid.columns()))],
    [[']'], 'next image', () => R.stepImage(1)],
    [['['], 'image before', () => R.stepImage(-1)],
    [['PageDown', 'n'], 'next page', () => R.stepPage(1)],
    [['PageUp', 'N'], 'page before', () => R.stepPage(-1)],
    [['Home'], 'first box', () => R.step(-Infinity)],
    [['End'], 'last box', () => R.step(Infinity)],
    [['Enter'], 'open the photo, or close it', () => (R.viewer.open ? R.showGrid() : R.showViewer())],
    [['Escape'], 'back to all boxes', () => R.escape()],
    [['a'], 'accept, and on to the next', () => R.markCurrent(1, true)],
    [['r'], 'reject, and on to the next', () => R.markCurrent(2, true)],
    [['w'], 'needs work, and on to the next', () => R.markCurrent(3, true)],
    [['c'], 'clear the mark', () => R.markCurrent(0, false)],
    [['u'], 'undo the last mark', () => R.undo()],
    [['p'], 'bare photo', () => R.controls.toggleLayer('bare')],
    [['m'], 'masks', () => R.controls.toggleLayer('mask')],
    [['b'], 'boxes', () => R.controls.toggleLayer('box')],
    [['h'], 'human masks', () => R.controls.toggleLayer('human')],
    [['g'], 'agreement with human masks', () => R.controls.toggleLayer('agreement')],
    [['o'], 'other boxes of the image', () => R.controls.toggleLayer('others')],
    [['s'], 'human mask beside it', () => R.controls.toggleLayer('side')],
    [['+', '='], 'zoom in', () => R.viewer.zoom(1.3)],
    [['-'], 'zoom out', () => R.viewer.zoom(1 / 1.3)],
    [['0'], 'whole image', () => R.viewer.fitImage()],
    [['f'], 'zoom to the box', () => R.viewer.fitBox()],
    [['/'], 'search', () => $('search').focus()],
    [['e'], 'export the marks', () => R.marks.exportFile()],
    [['?'], 'this help', () => R.toggleHelp()],
  ];
  const NAMES = { ArrowRight: '→', ArrowLeft: '←', ArrowDown: '↓', ArrowUp: '↑', PageDown: 'Page ↓', PageUp: 'Page ↑', Escape: 'Esc' };
  const actions = new Map(KEYS.flatMap(([keys, , action]) => keys.map((key) => [key, action])));

  R.toggleHelp = function () {
    const help = $('help');
    if (help.open) help.close(); else help.showModal();
  };

  R.listenToKeys = function () {
    $('keys').replaceChildren(...KEYS.flatMap(([keys, title]) => [
      R.element('dt', {}, ...keys.map((key) => R.element('kbd', {}, NAMES[key] || key))),
      R.element('dd', {}, title),
    ]));
    // what was clicked does not keep the keyboard: Enter would press it again
    document.addEventListener('click', function (event) {
      const pressed = event.detail > 0 && event.target.closest('button, input[type=checkbox]');
      if (pressed) pressed.blur();
    });
    document.addEventListener('keydown', function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const field = event.target.closest('input:not([type=checkbox]), select, textarea');
      if (field) {
        if (event.key === 'Escape' || (event.key === 'Enter' && field.id === 'search')) field.blur();
        return;
      }
      if ($('help').open) {
        if (event.key === '?') { event.preventDefault(); R.toggleHelp(); }
        return;
      }
      // a button that has the focus is pressed by Enter, a check box by the space bar
      if (event.key === 'Enter' && event.target.closest('button, summary, a, label')) return;
      if (document.body.dataset.tab !== 'review' && event.key !== '?') return;
      const action = actions.get(event.key) || actions.get(event.key.toLowerCase());
      if (!action) return;
      event.preventDefault();
      action();
    });
  };
})(window.MalReview);
