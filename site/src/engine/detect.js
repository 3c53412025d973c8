// Faces by YuNet, as OpenCV's FaceDetectorYN and Python's `vision.detect` find them.
// A detection is {box: [left, top, width, height], score}; `run` is the network: (tensor, height, width) -> outputs.
import { asPicture, shrunk } from "./pixels.js";

const STRIDES = [8, 16, 32];
const LEAST = 64; // YuNet's networks want more than 32 pixels on a side

/** YuNet's input: BGR, 0 to 255, black to the right and below up to multiples of 32; {data, width, height}. */
export function yunetInput(image, buffers = new Map()) {
  const padded = (size) => Math.ceil(Math.max(size, LEAST) / 32) * 32;
  const width = padded(image.width), height = padded(image.height), plane = width * height;
  const key = `${width}×${height}×${image.width}×${image.height}`;
  if (!buffers.has(key)) buffers.clear(), buffers.set(key, new Float32Array(3 * plane));
  const data = buffers.get(key);
  for (let y = 0, from = 0; y < image.height; y++) {
    for (let x = 0, to = y * width; x < image.width; x++, to++, from += 3) {
      data[to] = image.data[from + 2];
      data[to + plane] = image.data[from + 1];
      data[to + 2 * plane] = image.data[from];
    }
  }
  return { data, width, height };
}

/** Read YuNet's outputs ({cls_8, obj_8, bbox_8, …}) for an input of this width and height. */
export function decode(outputs, width, height, { min_score, overlap }) {
  const found = [];
  for (const stride of STRIDES) {
    const [cls, obj, boxes] = ["cls", "obj", "bbox"].map((name) => outputs[`${name}_${stride}`]);
    const columns = Math.floor(width / stride), cells = columns * Math.floor(height / stride);
    for (let i = 0; i < cells; i++) {
      const clip = (value) => Math.min(Math.max(value, 0), 1);
      const score = Math.sqrt(clip(cls[i]) * clip(obj[i]));
      if (!(score >= min_score)) continue;
      const w = Math.exp(boxes[4 * i + 2]) * stride, h = Math.exp(boxes[4 * i + 3]) * stride;
      const left = ((i % columns) + boxes[4 * i]) * stride - w / 2;
      const top = (Math.floor(i / columns) + boxes[4 * i + 1]) * stride - h / 2;
      if ([left, top, w, h].every(Number.isFinite)) found.push({ box: [left, top, w, h], score });
    }
  }
  return surest(found, overlap, Math.trunc); // OpenCV compares boxes of whole pixels here
}

/** Keep of detections that overlap by more than `overlap` only the surest (non-maximum suppression). */
export function surest(found, overlap, whole = (value) => value) {
  const kept = [];
  for (const face of [...found].sort((a, b) => b.score - a.score)) {
    const box = face.box.map(whole);
    if (kept.every((other) => intersectionOverUnion(box, other.box) <= overlap)) kept.push({ face, box });
  }
  return kept.map(({ face }) => face);
}

/** The shared area of two boxes over the area of both. */
export function intersectionOverUnion(a, b) {
  const width = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(width, 0) * Math.max(height, 0);
  return shared / Math.max(a[2] * a[3] + b[2] * b[3] - shared, 1e-9);
}

const byWidth = (a, b) => b.box[2] - a.box[2];

/** Left and top of the tiles that cover an image and overlap. */
export function tilePlaces(width, height, { tile, tile_overlap }) {
  const starts = (size) => {
    const out = [];
    for (let at = 0; at < Math.max(size - tile_overlap, 1); at += tile - tile_overlap) out.push(at);
    return out;
  };
  return starts(height).flatMap((top) => starts(width).map((left) => [left, top]));
}

/** Finds faces; `rules` are the shared JSON's `detector`. */
export class Detector {
  constructor(run, rules) {
    this.run = run;
    this.rules = rules;
    this.buffers = new Map();
  }

  /** The faces of a small RGB image, searched as it is. */
  async search(image, buffers = this.buffers) {
    if (Math.min(image.width, image.height) < 8) return [];
    const { data, width, height } = yunetInput(image, buffers);
    return decode(await this.run(data, height, width), width, height, this.rules);
  }

  /** The faces of a picture, largest first: searched at each of `sides`, and where `tiled` and large also in tiles. */
  async detect(picture, sides = this.rules.sides, tiled = true, buffers = this.buffers) {
    const longest = Math.max(picture.width, picture.height);
    const sizes = new Set(sides.map((side) => Math.min(side, longest)));
    const inTiles = tiled && longest >= this.rules.tiled_from ? Math.floor(longest / this.rules.tiled_at) : 0;
    if (inTiles) sizes.add(inTiles);
    let found = [], at = picture, scale = 1, searches = 0;
    for (const side of [...sizes].sort((a, b) => b - a)) {
      // Each size is made from the one before: a large photo is shrunk as a whole only once.
      const step = shrunk(at, side);
      scale *= step.scale;
      at = asPicture(step.image);
      const places = side > Math.max(...sides) ? tilePlaces(at.width, at.height, this.rules) : [[0, 0]];
      for (const [left, top] of places) {
        const part = side > Math.max(...sides) ? cut(step.image, left, top, this.rules.tile) : step.image;
        const faces = await this.search(part, buffers);
        found.push(...faces.map(({ box: [x, y, w, h], score }) => (
          { box: [(x + left) / scale, (y + top) / scale, w / scale, h / scale], score })));
        searches += 1;
      }
    }
    if (searches > 1) found = surest(found, this.rules.overlap);
    return found.sort(byWidth);
  }
}

function cut(image, left, top, side) {
  const width = Math.min(side, image.width - left), height = Math.min(side, image.height - top);
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * 3;
    data.set(image.data.subarray(from, from + width * 3), y * width * 3);
  }
  return { width, height, channels: 3, data };
}
