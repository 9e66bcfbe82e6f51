// Photos on their way from the disk: a few at a time, the last ones kept.
(function (R) {
  'use strict';

  const AT_ONCE = 4;
  const PIXELS_KEPT = 24e6; // decoded photos take 4 bytes a pixel
  const kept = new Map(); // image -> {photo, pixels}, oldest first
  const waiting = new Map(); // image -> {promise, wishes}, wishes: whether it is still wanted
  const queue = [];
  let running = 0;
  let chosen = null; // the user's files by name, see R.photos.choose

  const photos = { loaded: 0, failed: 0, onFailure: () => {} };
  R.photos = photos;

  function load(src, turned) {
    return new Promise(function (resolve, reject) {
      const photo = new Image();
      photo.decoding = 'async';
      if (!turned) {
        // only pictures of the document follow a style
        photo.style.imageOrientation = 'none';
        document.getElementById('unturned').append(photo);
      }
      photo.onload = () => resolve(photo);
      photo.onerror = () => { photo.remove(); reject(new Error('the photo cannot be shown')); };
      photo.src = src;
    });
  }

  async function loadInFrame(image) {
    const { src, width, height, problem, name } = R.store.images;
    let address = src[image];
    if (chosen) {
      const file = chosen.get(name[image]) || chosen.get(name[image].split('/').pop());
      if (file) address = URL.createObjectURL(file);
    }
    if (!address) throw new Error(problem[image] || 'no photo');
    let photo = await load(address, true);
    const stated = [width[image], height[image]];
    if (!stated[0]) {
      width[image] = photo.naturalWidth;
      height[image] = photo.naturalHeight;
      return photo;
    }
    // Cameras note a turn, which browsers apply, and so does MMDetection; but some files of
    // annotations are measured in the picture as it is stored.
    if (ratioDiffers(photo, stated)) {
      const stored = await load(address, false);
      if (!ratioDiffers(stored, stated)) return stored;
      stored.remove();
      throw new Error(`the photo is ${photo.naturalWidth} x ${photo.naturalHeight} pixels, ` +
        `the annotation file says ${stated[0]} x ${stated[1]}`);
    }
    return photo;
  }

  // A small copy has other sides but the same shape.
  function ratioDiffers(photo, [width, height]) {
    if (photo.naturalWidth === width && photo.naturalHeight === height) return false;
    if (R.store.head.photos !== 'small') return true;
    const scale = photo.naturalWidth / width;
    return scale > 1 || Math.abs(height * scale - photo.naturalHeight) > 1.5;
  }

  function keep(image, photo) {
    kept.set(image, photo);
    let pixels = 0;
    for (const one of kept.values()) pixels += one.naturalWidth * one.naturalHeight;
    for (const [key, one] of kept) {
      if (pixels <= PIXELS_KEPT || key === image) break;
      pixels -= one.naturalWidth * one.naturalHeight;
      one.remove();
      kept.delete(key);
    }
  }

  function next() {
    while (running < AT_ONCE && queue.length) {
      // the newest wish first: what is on the screen now
      const { image, resolve, reject } = queue.pop();
      if (!waiting.get(image).wishes.some((wanted) => wanted())) {
        waiting.delete(image);
        reject(new Error('no longer wanted'));
        continue;
      }
      running++;
      loadInFrame(image).then(function (photo) {
        photos.loaded++;
        keep(image, photo);
        resolve(photo);
      }, function (error) {
        photos.failed++;
        photos.onFailure();
        reject(error);
      }).finally(function () {
        running--;
        waiting.delete(image);
        next();
      });
    }
  }

  // Promise of the <img> of an image; an Error says why there is none. `wanted` tells when its
  // turn comes whether the photo is still looked for.
  photos.get = function (image, wanted) {
    if (kept.has(image)) {
      const photo = kept.get(image);
      kept.delete(image);
      kept.set(image, photo);
      return Promise.resolve(photo);
    }
    if (!waiting.has(image)) {
      const entry = { wishes: [] };
      waiting.set(image, entry);
      entry.promise = new Promise((resolve, reject) => queue.push({ image, resolve, reject }));
    }
    const entry = waiting.get(image);
    entry.wishes.push(wanted);
    next();
    return entry.promise;
  };

  // Take photos from a folder that the user has chosen, where the page's links lead nowhere.
  photos.choose = function (files) {
    chosen = new Map();
    for (const file of files) {
      const parts = (file.webkitRelativePath || file.name).split('/');
      for (let i = parts.length - 1; i >= 0; i--) chosen.set(parts.slice(i).join('/'), file);
    }
    photos.loaded = photos.failed = 0;
  };
})(window.MalReview);
