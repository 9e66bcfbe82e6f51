// The data of the page: which files there are, and what was loaded of them.
//
// A page from the disk may not fetch, but it may load scripts: each file of data is a call of
// MalReview.addImages, addBoxes or addMasks (written by mal_mm/visualization/review_index.py).
window.MalReview = window.MalReview || {};
(function (R) {
  'use strict';

  const MASK_FILES_KEPT = 60; // some 100 KB each

  const store = {
    head: null,
    count: 0,
    images: { name: [], src: [], width: null, height: null, problem: {} },
    ids: [],
    digests: [],
    maskFiles: new Map(), // number -> {masks, human, notes}, oldest first
    waiting: new Map(), // number -> promise
  };
  R.store = store;

  R.addHead = function (head) {
    const n = head.boxes;
    store.head = head;
    store.count = n;
    store.place = new Int32Array(n);
    store.image = new Int32Array(n);
    store.category = new Int32Array(n);
    store.box = new Float32Array(4 * n);
    store.quality = new Float32Array(n);
    store.iou = new Float32Array(n).fill(NaN);
    store.fill = new Float32Array(n);
    store.flags = new Int32Array(n);
    store.givenMark = new Uint8Array(n);
    store.ids = new Array(n);
    store.digests = new Array(n);
    store.images.width = new Int32Array(head.images);
    store.images.height = new Int32Array(head.images);
  };

  R.addImages = function (part) {
    const images = store.images;
    for (let i = 0; i < part.names.length; i++) {
      images.name.push(part.names[i]);
      images.src.push(part.src[i]);
      images.width[part.first + i] = part.width[i];
      images.height[part.first + i] = part.height[i];
      if (part.problem[i]) images.problem[part.first + i] = part.problem[i];
    }
  };

  function copyNumbers(target, values, first) {
    for (let i = 0; i < values.length; i++) target[first + i] = values[i] === null ? NaN : values[i];
  }

  R.addBoxes = function (part) {
    const first = part.first;
    for (const key of ['place', 'image', 'category', 'quality', 'fill', 'flags']) {
      copyNumbers(store[key], part[key], first);
    }
    if (part.iou) copyNumbers(store.iou, part.iou, first);
    copyNumbers(store.box, part.box, 4 * first);
    copyNumbers(store.givenMark, part.mark, first);
    const ids = part.ids.split('\n');
    const digests = part.digests.split('\n');
    for (let i = 0; i < part.image.length; i++) {
      store.ids[first + i] = ids[i];
      store.digests[first + i] = digests[i];
    }
  };

  R.addMasks = function (part) {
    store.maskFiles.set(part.number, part);
    if (store.maskFiles.size > MASK_FILES_KEPT) {
      store.maskFiles.delete(store.maskFiles.keys().next().value);
    }
  };

  function loadScript(address) {
    return new Promise(function (resolve, reject) {
      const script = document.createElement('script');
      script.src = address;
      script.onload = function () { script.remove(); resolve(); };
      script.onerror = function () { script.remove(); reject(new Error('cannot load ' + address)); };
      document.head.append(script);
    });
  }

  function fileName(kind, number) {
    return 'data/' + kind + '-' + String(number).padStart(5, '0') + '.js';
  }

  // Load the whole index, a file at a time so that the page never stands still.
  store.loadIndex = async function (onProgress) {
    const head = store.head;
    const total = head.imageFiles + head.boxFiles;
    let done = 0;
    for (const [kind, number] of [['images', head.imageFiles], ['boxes', head.boxFiles]]) {
      for (let i = 0; i < number; i++) {
        await loadScript(fileName(kind, i));
        onProgress(++done / total);
      }
    }
    store.byClass = countBy(store.category, head.classes.length);
  };

  function countBy(values, number) {
    const counts = new Int32Array(number);
    for (const value of values) counts[value]++;
    return counts;
  }

  // Place of the first entry above value, in ascending numbers.
  R.upperBound = function (numbers, value) {
    let low = 0, high = numbers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[middle] <= value) low = middle + 1; else high = middle;
    }
    return low;
  };

  // Promise of {mask, human, note} of a box: run lengths in COCO's encoding, '' for none.
  store.mask = async function (n) {
    const number = R.upperBound(store.head.maskStarts, n) - 1;
    let file = store.maskFiles.get(number);
    if (!file) {
      if (!store.waiting.has(number)) {
        const loading = loadScript(fileName('masks', number));
        store.waiting.set(number, loading);
        loading.catch(() => {}).then(() => store.waiting.delete(number));
      }
      await store.waiting.get(number);
      file = store.maskFiles.get(number);
    }
    store.maskFiles.delete(number); // and again at the end, as the one used last
    store.maskFiles.set(number, file);
    const k = n - store.head.maskStarts[number];
    return { mask: file.masks[k], human: file.human ? file.human[k] : '', note: file.notes[k] || '' };
  };

  // Boxes of an image lie beside each other: [first, stop).
  store.boxesOfImage = function (image) {
    return [R.upperBound(store.image, image - 1), R.upperBound(store.image, image)];
  };

  store.className = (n) => store.head.classes[store.category[n]];
  store.imageName = (n) => store.images.name[store.image[n]];

  // An id as people write it: JSON text without the quotes of a string.
  store.idText = function (n) {
    const text = store.ids[n];
    return text[0] === '"' ? JSON.parse(text) : text;
  };

  store.flagNames = function (n) {
    return store.head.flags.filter((_, bit) => store.flags[n] & (1 << bit));
  };
})(window.MalReview);
