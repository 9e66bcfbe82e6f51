// Which boxes are shown, and in which order.
(function (R) {
  'use strict';

  // Sizes as COCO draws them, by the area of the box in square pixels.
  R.SIZES = [['small', 0, 32 ** 2], ['medium', 32 ** 2, 96 ** 2], ['large', 96 ** 2, Infinity]];
  // name -> [title, key of a box (small comes first; no number comes last)]
  const store = R.store;
  R.SORTS = {
    quality: ['Quality, worst first', (n) => store.quality[n]],
    'quality-down': ['Quality, best first', (n) => -store.quality[n]],
    iou: ['IoU, worst first', (n) => store.iou[n]],
    'iou-down': ['IoU, best first', (n) => -store.iou[n]],
    class: ['Class by class, worst first', (n) => store.category[n] * 2 + Math.min(store.quality[n], 1)],
    image: ['Image by image', (n) => n],
    'worst-image': ['Worst image first', null],
    small: ['Smallest box first', (n) => R.area(n)],
    large: ['Largest box first', (n) => -R.area(n)],
    fill: ['Mask fills least of its box', (n) => store.fill[n]],
    'fill-down': ['Mask fills most of its box', (n) => -store.fill[n]],
    file: ['As in the file', (n) => store.place[n]],
  };

  R.area = (n) => store.box[4 * n + 2] * store.box[4 * n + 3];
  R.sizeOf = function (n) {
    const area = R.area(n);
    return R.SIZES.findIndex(([, low, high]) => area >= low && area < high);
  };

  R.newFilter = () => ({
    classes: new Set(), sizes: new Set(), flags: new Set(), marks: new Set(), // empty: all
    quality: [0, 1], iou: [0, 1], text: '', sort: 'quality', perClass: 0,
  });
  R.filter = R.newFilter();

  // Boxes that pass the filter, in order, as an Int32Array.
  R.applyFilter = function (filter) {
    const found = new Int32Array(store.count);
    const passes = makeTest(filter);
    let count = 0;
    for (let n = 0; n < store.count; n++) if (passes(n)) found[count++] = n;
    const order = sorted(found.slice(0, count), filter.sort);
    const named = filter.text ? exactFirst(order, filter.text) : order;
    return filter.perClass ? firstOfEachClass(named, filter.perClass) : named;
  };

  function makeTest(filter) {
    const whole = (range) => range[0] <= 0 && range[1] >= 1;
    const tests = [];
    if (filter.classes.size) tests.push((n) => filter.classes.has(store.category[n]));
    if (filter.sizes.size) tests.push((n) => filter.sizes.has(R.sizeOf(n)));
    if (filter.marks.size) tests.push((n) => filter.marks.has(R.marks.of[n]));
    if (filter.flags.size) {
      let bits = 0;
      for (const bit of filter.flags) bits |= 1 << bit;
      tests.push((n) => (store.flags[n] & bits) !== 0);
    }
    // a box without a number is in no range
    for (const key of ['quality', 'iou']) {
      const [low, high] = filter[key];
      if (!whole(filter[key])) tests.push((n) => store[key][n] >= low && store[key][n] <= high);
    }
    if (filter.text) tests.push(textTest(filter.text));
    return (n) => tests.every((test) => test(n));
  }

  function textTest(text) {
    if (text[0] === '#') return (n) => store.idText(n) === text.slice(1);
    const wanted = text.toLowerCase();
    const inName = store.images.name.map((name) => name.toLowerCase().includes(wanted));
    return (n) => inName[store.image[n]] || store.idText(n) === text;
  }

  function exactFirst(order, text) {
    const id = text.replace(/^#/, '');
    const exact = order.filter((n) => store.idText(n) === id);
    if (!exact.length) return order;
    return Int32Array.from([...exact, ...order.filter((n) => store.idText(n) !== id)]);
  }

  function sorted(found, sort) {
    const keys = new Float64Array(store.count);
    const key = sort === 'worst-image' ? imageKey() : (R.SORTS[sort] || R.SORTS.quality)[1];
    for (const n of found) {
      const value = key(n);
      // without a number: last, of its class where it goes by class
      keys[n] = Number.isNaN(value) ? (sort === 'class' ? store.category[n] * 2 + 1.5 : Infinity) : value;
    }
    return found.sort((a, b) => (keys[a] === keys[b] ? a - b : keys[a] - keys[b]));
  }

  // Mean quality of a box's image.
  function imageKey() {
    const sums = new Float64Array(store.head.images), counts = new Int32Array(store.head.images);
    for (let n = 0; n < store.count; n++) {
      if (Number.isNaN(store.quality[n])) continue;
      sums[store.image[n]] += store.quality[n];
      counts[store.image[n]]++;
    }
    // images of the same mean stay whole
    return (n) => sums[store.image[n]] / counts[store.image[n]] + store.image[n] * 1e-12;
  }

  function firstOfEachClass(order, number) {
    const seen = new Int32Array(store.head.classes.length);
    return order.filter((n) => seen[store.category[n]]++ < number);
  }
})(window.MalReview);
