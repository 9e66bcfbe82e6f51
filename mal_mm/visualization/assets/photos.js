// Photos on their way from the disk: a few at a time, the last ones kept.
(function (R) {
  'use strict';

  const AT_ONCE = 4;
  const PIXELS_KEPT = 24e6; // decoded photos take 4 bytes a pixel
  const kept = new Map(); // image -> bitmap, oldest first
  const waiting = new Map(); // image -> {promise, wishes}, wishes: whether it is still wanted
  const failures = new Map(); // image -> why, so that each is tried once
  const queue = [];
  let running = 0;
  let chosen = null; // the user's files by name, see R.photos.choose

  // pinned: the image in the viewer, which has to stay
  const photos = { loaded: 0, failed: 0, pinned: -1, onFailure: () => {} };
  R.photos = photos;

  // A bitmap of our own, which is gone when it is closed: the browser keeps the pixels of an <img>
  // as long as it likes. It is turned as its camera noted, as MMDetection does; of photos whose
  // boxes are measured in the picture as it is stored, the page has copies that need no turn.
  function load(src) {
    return new Promise(function (resolve, reject) {
      const photo = new Image();
      const fail = () => reject(new Error('the photo is not there, or is damaged'));
      photo.onload = () => createImageBitmap(photo).then(resolve, fail);
      photo.onerror = fail;
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
    const photo = await load(address);
    const stated = [width[image], height[image]];
    if (!stated[0]) {
      width[image] = photo.width;
      height[image] = photo.height;
    } else if (ratioDiffers(photo, stated)) {
      const found = `${photo.width} x ${photo.height}`;
      photo.close();
      throw new Error(`the photo is ${found} pixels, the annotation file says ${stated[0]} x ${stated[1]}`);
    }
    return photo;
  }

  // A small copy has other sides but the same shape.
  function ratioDiffers(photo, [width, height]) {
    if (photo.width === width && photo.height === height) return false;
    if (R.store.head.photos !== 'small') return true;
    const scale = photo.width / width;
    return scale > 1 || Math.abs(height * scale - photo.height) > 1.5;
  }

  function keep(image, photo) {
    kept.set(image, photo);
    let pixels = 0;
    for (const one of kept.values()) pixels += one.width * one.height;
    for (const [key, one] of kept) {
      if (pixels <= PIXELS_KEPT) break;
      if (key === image || key === photos.pinned) continue;
      pixels -= one.width * one.height;
      one.close();
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
        failures.set(image, error);
        photos.onFailure();
        reject(error);
      }).finally(function () {
        running--;
        waiting.delete(image);
        next();
      });
    }
  }

  // Promise of the bitmap of an image; an Error says why there is none. `wanted` tells when its
  // turn comes whether the photo is still looked for.
  photos.get = function (image, wanted) {
    if (kept.has(image)) {
      const photo = kept.get(image);
      kept.delete(image);
      kept.set(image, photo);
      return Promise.resolve(photo);
    }
    if (failures.has(image)) return Promise.reject(failures.get(image));
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
    failures.clear();
    photos.loaded = photos.failed = 0;
  };
})(window.MalReview);
