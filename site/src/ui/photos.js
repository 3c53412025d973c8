// The photos: looked at one after the other, and what was seen in each.
import { make } from "../../../fer_utils/live/static/common.js";

const JPEG_QUALITY = 0.88;
const THUMB = 112; // pixels of a face's picture
const THUMB_MARGIN = 1.3; // its side over the face's

/**
 * Keep photos. Each item has {id, name, file, state ("waiting", "looking" or "done"), error, faces, width, height, jpeg,
 * address, thumbs}; `changed` is called after each change, and `notices` collects what to tell the visitor.
 */
export function createPhotos(app, changed) {
  const items = [];
  const notices = [];
  let made = 0;
  let busy = false;

  function add(files) {
    const limit = app.shared.photos.max_photos;
    const room = Math.max(limit - items.length, 0);
    if (files.length > room) notices.push({ key: "tooMany", n: files.length - room });
    for (const file of files.slice(0, room)) {
      items.push({ id: (made += 1), name: file.name || `photo-${made}`, file, state: "waiting", faces: [], thumbs: [] });
    }
    changed();
    work();
  }

  /** Add a picture of the page's own; the single file has it as text, which cannot be fetched. */
  async function addExample(address, name) {
    const image = make("img", { src: address });
    await image.decode();
    const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext("2d").drawImage(image, 0, 0);
    add([new File([await new Promise((done) => canvas.toBlob(done, "image/png"))], name, { type: "image/png" })]);
  }

  async function work() {
    if (busy) return;
    busy = true;
    for (let item; (item = items.find(({ state }) => state === "waiting"));) {
      item.state = "looking";
      changed();
      await look(item);
      changed();
    }
    busy = false;
  }

  async function look(item) {
    const network = app.network;
    try {
      const engine = await app.engineReady;
      await item.file.slice(0, 1).arrayBuffer(); // fails for a folder, and for a file that is no longer there
      const seen = await engine.photo(item.file, { maxPixels: app.shared.photos.max_pixels });
      if (!item.gone) await keep(item, seen);
      seen.bitmap?.close();
      item.error = null;
    } catch (error) {
      Object.assign(item, { faces: [], error: ["NotFoundError", "NotReadableError"].includes(error.name)
        ? { code: "unreadable" } : { code: error.code, message: error.message } });
    }
    item.state = network === app.network ? "done" : "waiting"; // the network was changed meanwhile
    if (item.gone) free(item);
  }

  async function keep(item, { bitmap, width, height, faces }) {
    Object.assign(item, { width, height, faces });
    if (!item.jpeg) {
      const canvas = make("canvas", { width: bitmap.width, height: bitmap.height });
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      item.jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
      item.address = URL.createObjectURL(item.jpeg);
    }
    item.thumbs.forEach((thumb) => URL.revokeObjectURL(thumb));
    item.thumbs = await Promise.all(faces.map(({ box }) => cut(bitmap, box, bitmap.width / width)));
  }

  /** Return the address of a small picture of a face. */
  async function cut(bitmap, [x, y, width, height], scale) {
    const side = Math.max(width, height) * THUMB_MARGIN * scale;
    const canvas = make("canvas", { width: THUMB, height: THUMB });
    const [left, top] = [(x + width / 2) * scale - side / 2, (y + height / 2) * scale - side / 2];
    const context = canvas.getContext("2d");
    context.fillStyle = "#888888";
    context.fillRect(0, 0, THUMB, THUMB);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, left, top, side, side, 0, 0, THUMB, THUMB);
    return URL.createObjectURL(await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85)));
  }

  function free(item) {
    for (const address of [item.address, ...item.thumbs]) if (address) URL.revokeObjectURL(address);
  }

  function remove(leaving) {
    for (const item of [...leaving]) {
      item.gone = true;
      items.splice(items.indexOf(item), 1);
      if (item.state !== "looking") free(item);
    }
    changed();
  }

  /** Look at all photos once more, by another network. */
  function again() {
    for (const item of items) if (item.state === "done" && item.address) item.state = "waiting";
    changed();
    work();
  }

  return { items, notices, add, addExample, remove, again, changed, working: () => items.some(({ state }) => state !== "done") };
}
