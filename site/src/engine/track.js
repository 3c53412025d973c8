// Following faces from frame to frame, and averaging what a network sees in them: Python's `vision.track`.
import { intersectionOverUnion } from "./detect.js";
import { crop, cropPlace, resizeSquare } from "./pixels.js";

const byWidth = (a, b) => b.box[2] - a.box[2];

/** Finds the faces of successive frames, mostly by looking where they were; `rules` are the shared JSON's `live`. */
export class FaceFollower {
  constructor(detector, rules) {
    this.detector = detector;
    this.rules = rules;
    this.known = [];
    this.shape = "";
    this.since = 0;
    this.near = new Map(); // input of the small searches, kept from one to the next
  }

  async detect(picture) {
    const shape = `${picture.width}×${picture.height}`;
    this.since += 1;
    let found = null;
    if (this.known.length && shape === this.shape && this.since > 0 && this.since < this.rules.search_every) {
      found = await this.follow(picture);
      if (found.length < this.known.length) { // gone, or hard to see so near: for some frames look everywhere
        found = null;
        this.since = -this.rules.search_every;
      }
    }
    if (found === null) {
      found = await this.detector.detect(picture, [this.rules.side], false);
      this.since = Math.min(this.since, 0);
    }
    this.known = found;
    this.shape = shape;
    return found;
  }

  async follow(picture) {
    const found = [];
    for (const known of this.known) {
      const face = await this.lookNear(picture, known);
      // Two that follow one face are one.
      if (face && found.every((other) => intersectionOverUnion(face.box, other.box) < 0.5)) found.push(face);
    }
    return found.sort(byWidth);
  }

  /** Find a known face in its surroundings; null where it is gone. */
  async lookNear(picture, known) {
    const { near_side, near_margin } = this.rules;
    const place = cropPlace(known.box, near_margin), scale = place.side / near_side;
    const near = resizeSquare(crop(picture, place), near_side, false);
    let best = null, most = 0.2;
    for (const { box: [x, y, w, h], score } of (await this.detector.search(near, this.near)).sort(byWidth)) {
      const box = [place.left + x * scale, place.top + y * scale, w * scale, h * scale];
      const shared = intersectionOverUnion(known.box, box);
      if (shared > most) best = { box, score }, most = shared;
    }
    return best;
  }
}

/** Pair rows and columns of a matrix with the largest sum (Hungarian method); rows.length ≤ columns: column of each row. */
function assign(values) {
  const n = values.length, m = n ? values[0].length : 0;
  const u = new Float64Array(n + 1), v = new Float64Array(m + 1), way = new Int32Array(m + 1), row = new Int32Array(m + 1);
  for (let i = 1; i <= n; i++) {
    row[0] = i;
    let column = 0;
    const least = new Float64Array(m + 1).fill(Infinity), used = new Uint8Array(m + 1);
    do {
      used[column] = 1;
      let delta = Infinity, next = 0;
      for (let j = 1; j <= m; j++) {
        if (used[j]) continue;
        const cost = -values[row[column] - 1][j - 1] - u[row[column]] - v[j];
        if (cost < least[j]) least[j] = cost, way[j] = column;
        if (least[j] < delta) delta = least[j], next = j;
      }
      for (let j = 0; j <= m; j++) {
        if (used[j]) u[row[j]] += delta, v[j] -= delta;
        else least[j] -= delta;
      }
      column = next;
    } while (row[column] !== 0);
    for (; column; column = way[column]) row[column] = row[way[column]];
  }
  const result = new Array(n).fill(-1);
  for (let j = 1; j <= m; j++) if (row[j]) result[row[j] - 1] = j - 1;
  return result;
}

/** The pairs [index in a, index in b] with the largest sum of overlaps, each `overlap` or more. */
export function matchBoxes(a, b, overlap) {
  if (!a.length || !b.length) return [];
  const shared = a.map((one) => b.map((other) => intersectionOverUnion(one, other)));
  const turned = a.length > b.length;
  const values = turned ? b.map((_, j) => a.map((_, i) => shared[i][j])) : shared;
  return assign(values).map((column, row) => (turned ? [column, row] : [row, column]))
    .filter(([i, j]) => shared[i][j] >= overlap);
}

/** Gives each face a number that it keeps while it is seen, and averages its probabilities over time. */
export class Tracker {
  constructor({ smooth_s, patience_s, overlap }) {
    this.smooth = smooth_s;
    this.patience = patience_s;
    this.overlap = overlap;
    this.seen = new Map(); // number: {face, time}
    this.next = 0;
  }

  /** The next frame's faces with `person` and averaged probabilities; `time` is in seconds and never goes back. */
  update(faces, time) {
    const known = [...this.seen].filter(([, { time: then }]) => time - then <= this.patience);
    const pairs = matchBoxes(known.map(([, { face }]) => face.box), faces.map((face) => face.box), this.overlap);
    const before = new Map(pairs.map(([row, column]) => [column, known[row]]));
    const result = faces.map((face, i) => {
      const [person, last] = before.get(i) ?? [this.next++, null];
      if (!last || !(this.smooth > 0)) return { person, ...face };
      const share = 1 - Math.exp(-(time - last.time) / this.smooth);
      const old = last.face.probabilities;
      return { person, ...face, probabilities: face.probabilities.map((p, k) => old[k] + share * (p - old[k])) };
    });
    this.seen = new Map([...known, ...result.map((face) => [face.person, { face, time }])]);
    return result;
  }
}
