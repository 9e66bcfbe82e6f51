// What the person said of each mask: kept in the browser, exported and imported as a file.
//
// The file is the contract of mal_mm/formats/review_marks.py.
(function (R) {
  'use strict';

  const FORMAT = 'mal_mm review marks', VERSION = 1;
  const NAMES = ['', 'accept', 'reject', 'needs_work'];
  const TITLES = ['unmarked', 'accepted', 'rejected', 'needs work'];
  const LETTERS = '.arw'; // as the browser keeps them: a letter a box
  const marks = { NAMES, TITLES, of: null, counts: [0, 0, 0, 0], onChange: () => {}, onProblem: () => {} };
  R.marks = marks;
  const undoable = []; // [box, mark before]

  const storageKey = () => `mal_mm review ${R.store.head.identity}`;

  marks.begin = function () {
    marks.of = R.store.givenMark.slice();
    let kept = null;
    try {
      kept = window.localStorage.getItem(storageKey());
    } catch (error) {
      marks.onProblem('This browser keeps no marks for a page from the disk: export them before you close it.');
    }
    if (kept && kept.length === R.store.count) {
      for (let n = 0; n < kept.length; n++) marks.of[n] = Math.max(0, LETTERS.indexOf(kept[n]));
    }
    count();
  };

  function count() {
    marks.counts = [0, 0, 0, 0];
    for (const mark of marks.of) marks.counts[mark]++;
  }

  function keep() {
    const letters = new Array(marks.of.length);
    for (let n = 0; n < letters.length; n++) letters[n] = LETTERS[marks.of[n]];
    try {
      window.localStorage.setItem(storageKey(), letters.join(''));
    } catch (error) {
      marks.onProblem('This browser cannot keep the marks: export them before you close the page.');
    }
  }

  function change(n, mark) {
    marks.counts[marks.of[n]]--;
    marks.counts[mark]++;
    marks.of[n] = mark;
    keep();
    marks.onChange(n);
  }

  marks.set = function (n, mark) {
    if (marks.of[n] === mark) return;
    undoable.push([n, marks.of[n]]);
    change(n, mark);
  };

  // Take the last mark back; the box that it was on, or -1.
  marks.undo = function () {
    if (!undoable.length) return -1;
    const [n, mark] = undoable.pop();
    change(n, mark);
    return n;
  };

  marks.toJson = function () {
    const store = R.store;
    const lines = [];
    for (let n = 0; n < store.count; n++) {
      if (!marks.of[n]) continue;
      // the id as its JSON text: digits that a number here would round stay
      lines.push(`{"annotation_id":${store.ids[n]},"mark":"${NAMES[marks.of[n]]}",` +
        `"mask":"${store.digests[n]}","image":${JSON.stringify(store.imageName(n))}}`);
    }
    const file = JSON.stringify({ name: store.head.fileName, identity: store.head.identity });
    return `{"format":"${FORMAT}","version":${VERSION},"file":${file},\n"marks":[\n${lines.join(',\n')}\n]}\n`;
  };

  marks.exportFile = function () {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([marks.toJson()], { type: 'application/json' }));
    link.download = `${(R.store.head.fileName || 'masks').replace(/\.json(\.gz)?$/, '')}.marks.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  // The same text for the same id: JSON may write a letter of a string in several ways.
  const idKey = (text) => (text[0] === '"' ? JSON.stringify(JSON.parse(text)) : text);

  // Take over the marks of a file; what happened, in a sentence. Throws an Error for other files.
  marks.fromJson = function (text) {
    let data;
    try {
      // no key occurs inside a string, where its quotes would be escaped
      data = JSON.parse(text.replace(/"annotation_id"\s*:\s*(-?\d+)(?=\s*[,}])/g, '"annotation_id":{"text":"$1"}'));
    } catch (error) {
      throw new Error('this is no JSON file');
    }
    if (!data || data.format !== FORMAT || !Array.isArray(data.marks)) {
      throw new Error('this is no file of review marks');
    }
    if (data.version !== VERSION) throw new Error(`its version is ${data.version}, this page reads ${VERSION}`);
    const boxOf = new Map(), known = new Set();
    for (let n = 0; n < R.store.count; n++) {
      const id = idKey(R.store.ids[n]);
      boxOf.set(`${id} ${R.store.digests[n]}`, n);
      known.add(id);
    }
    let taken = 0, outdated = 0, unknown = 0;
    for (const entry of data.marks) {
      const value = entry.annotation_id;
      const id = value && value.text !== undefined ? value.text : JSON.stringify(value ?? null);
      const n = boxOf.get(`${id} ${entry.mask}`);
      const mark = NAMES.indexOf(entry.mark);
      if (n !== undefined && mark > 0) {
        marks.of[n] = mark;
        taken++;
      } else if (known.has(id)) outdated++;
      else unknown++;
    }
    count();
    keep();
    marks.onChange(-1);
    const parts = [`${taken.toLocaleString('en')} marks taken over`];
    if (outdated) parts.push(`${outdated.toLocaleString('en')} left out: their masks have been drawn anew since`);
    if (unknown) parts.push(`${unknown.toLocaleString('en')} left out: of boxes that this file does not have`);
    return parts.join('; ');
  };
})(window.MalReview);
