// All heavy work, in one worker: decoding photos, the detector, the networks, following faces.
import * as ort from "onnxruntime-web/wasm";
import shared from "virtual:shared";
import { Detector } from "./detect.js";
import { countScans, readHeader } from "./header.js";
import { crop, cropPlace, facesToTensor, memoryPicture, round } from "./pixels.js";
import { problem } from "./problem.js";
import { FaceFollower, Tracker } from "./track.js";

const HEAD_BYTES = 1 << 20; // of a file: in these its header says what it is
const MAX_SCANS = 100;
const YUNET_OUTPUTS = ["cls", "obj", "bbox"].flatMap((name) => [8, 16, 32].map((stride) => `${name}_${stride}`));

let detector = null, network = null, follower = null, tracker = null, canvas = null;
const networks = new Map();

// ---- starting ----

/** The bytes of a compressed file, which comes as text (base64) from the single file. */
async function unpack(data) {
  const bytes = typeof data === "string" ? fromBase64(data) : new Uint8Array(data);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes; // a host unpacked it already
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function session(data) {
  return ort.InferenceSession.create(await unpack(data), { executionProviders: ["wasm"], logSeverityLevel: 3 });
}

async function start({ runtime, yunet, name, data }) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.proxy = false;
  ort.env.logLevel = "error";
  try {
    ort.env.wasm.wasmBinary = (await unpack(runtime)).buffer;
    const faces = await session(yunet);
    detector = new Detector(async (tensor, height, width) => {
      const input = new ort.Tensor("float32", tensor, [1, 3, height, width]);
      const outputs = await faces.run({ [faces.inputNames[0]]: input }, YUNET_OUTPUTS);
      return Object.fromEntries(YUNET_OUTPUTS.map((output) => [output, outputs[output].data]));
    }, shared.detector);
    await use({ name, data });
  } catch (error) {
    throw problem("no-start", `The recognition could not start in this browser (${error.message ?? error}). Reload the `
      + "page, or use a newer browser.");
  }
  ort.env.wasm.wasmBinary = undefined;
  forget();
}

async function use({ name, data }) {
  if (!networks.has(name)) {
    if (!data) return false;
    networks.set(name, await session(data));
  }
  network = { run: networks.get(name), ...shared.networks[name] };
  return true;
}

function forget() {
  follower = new FaceFollower(detector, shared.live);
  tracker = new Tracker(shared.live);
}

// ---- faces ----

/** Probabilities of face crops; all go through the network in one batch. */
async function classify(crops) {
  if (!crops.length) return [];
  const { size, channels } = network.spec;
  const input = new ort.Tensor("float32", facesToTensor(crops, network.spec), [crops.length, size, size, channels]);
  const outputs = await network.run.run({ [network.run.inputNames[0]]: input });
  const { data } = outputs[network.run.outputNames[0]];
  const count = shared.emotions.length;
  return crops.map((_, i) => soften(data.subarray(i * count, (i + 1) * count), network.temperature));
}

function soften(row, temperature) {
  const logits = Array.from(row, (p) => Math.log(Math.min(Math.max(p, 1e-12), 1)) / temperature);
  const most = Math.max(...logits), powers = logits.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((value) => value / sum);
}

/** A box in whole pixels, cut to the picture. */
function wholeBox([x, y, w, h], { width, height }) {
  const clip = (value, low, high) => Math.min(Math.max(value, low), high);
  const left = clip(round(x), 0, width - 1), top = clip(round(y), 0, height - 1);
  return [left, top, clip(round(x + w), left + 1, width) - left, clip(round(y + h), top + 1, height) - top];
}

async function facesOf(picture, found) {
  const rows = await classify(found.map(({ box }) => crop(picture, cropPlace(box, shared.detector.margin))));
  return found.map(({ box, score }, i) => ({ box: wholeBox(box, picture), score, probabilities: rows[i] }));
}

/** A drawing area of at least this size; one is kept, for browsers free their memory late. */
function area(width, height) {
  if (!canvas || canvas.width < width || canvas.height < height) {
    canvas = new OffscreenCanvas(Math.max(width, canvas?.width ?? 1), Math.max(height, canvas?.height ?? 1));
  }
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (!context) throw new RangeError("no drawing area");
  return context;
}

/** A decoded picture, of which parts are read as they are needed; what is transparent lies on white. */
function bitmapPicture(bitmap) {
  return {
    width: bitmap.width,
    height: bitmap.height,
    rgba(left, top, width, height) {
      const context = area(width, height);
      context.imageSmoothingEnabled = false;
      context.fillStyle = "#fff";
      context.fillRect(0, 0, width, height);
      context.drawImage(bitmap, left, top, width, height, 0, 0, width, height);
      return context.getImageData(0, 0, width, height).data;
    },
  };
}

// ---- photos and frames ----

async function check(blob, maxPixels) {
  if (!blob.size) throw problem("not-a-picture", "This file is empty.");
  const head = new Uint8Array(await blob.slice(0, HEAD_BYTES).arrayBuffer());
  const header = readHeader(head);
  const many = header.width * header.height;
  if (many > maxPixels) {
    throw problem("too-large", `This photo has ${Math.round(many / 1e6)} million pixels; at most `
      + `${Math.round(maxPixels / 1e6)} million are read here. Shrink it first.`);
  }
  if (header.kind === "jpeg" && countScans(new Uint8Array(await blob.arrayBuffer())) > MAX_SCANS) {
    throw problem("too-many-scans", "This JPEG has too many scans, which would take minutes to read. Save it again.");
  }
  return { ...header, many };
}

const UNREADABLE = {
  heic: ["heic", "This is a HEIC photo, which this browser cannot read. Save it as JPEG; an iPhone does so when the "
    + "camera's format is “Most Compatible”."],
  tiff: ["not-a-picture", "This is a TIFF picture, which browsers cannot read. Save it as JPEG or PNG."],
  "": ["not-a-picture", "This is not a picture that can be read (JPEG, PNG, WebP, GIF, BMP, AVIF)."],
};

async function decodePhoto(blob, maxPixels) {
  const { kind, many } = await check(blob, maxPixels);
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch {
    if (kind in UNREADABLE) throw problem(...UNREADABLE[kind]);
    if (many > 30e6) {
      throw problem("no-room", "This photo could not be opened: it is damaged, or too large for this device's memory.");
    }
    throw problem("not-a-picture", "This photo is damaged or cut short.");
  }
  if (bitmap.width * bitmap.height > maxPixels) {
    bitmap.close();
    throw problem("too-large", `This photo has more than ${Math.round(maxPixels / 1e6)} million pixels. Shrink it first.`);
  }
  return bitmap;
}

async function photo({ blob, maxPixels = shared.photos.max_pixels }) {
  const bitmap = await decodePhoto(blob, maxPixels);
  try {
    const picture = bitmapPicture(bitmap), { width, height } = bitmap;
    const faces = await facesOf(picture, await detector.detect(picture));
    const scale = Math.min(shared.photos.kept_side / Math.max(width, height), 1);
    const size = { resizeWidth: Math.max(round(width * scale), 1), resizeHeight: Math.max(round(height * scale), 1) };
    const shown = await createImageBitmap(bitmap, scale < 1 ? { ...size, resizeQuality: "high" } : {});
    return { width, height, faces, bitmap: shown };
  } finally {
    bitmap.close();
    if (canvas && canvas.width * canvas.height > 4e6) canvas = null;
  }
}

async function frame({ bitmap, seconds }) {
  const { width, height } = bitmap;
  const data = bitmapPicture(bitmap).rgba(0, 0, width, height);
  bitmap.close();
  const picture = memoryPicture(width, height, data);
  return tracker.update(await facesOf(picture, await follower.detect(picture)), seconds);
}

// ---- messages ----

/** Every failure as {code, message, fatal}; after a fatal one the worker must be started again. */
function explain(error) {
  if (error?.code && typeof error.code === "string") return { code: error.code, message: error.message, fatal: false };
  const said = String(error?.message ?? error);
  const fatal = error instanceof WebAssembly.RuntimeError || /abort|out of memory|bad_alloc/i.test(said);
  if (fatal || error instanceof RangeError || /allocat|memory/i.test(said)) {
    return { code: "no-room", message: "There is not enough memory for this picture. Close other tabs, or shrink it.", fatal };
  }
  return { code: "failed", message: said, fatal: false }; // in the browser's own words
}

const calls = { start, use, forget, photo, frame };
let queue = Promise.resolve();

self.onmessage = ({ data: { id, call, values } }) => {
  queue = queue.then(async () => {
    try {
      const result = await calls[call](values);
      self.postMessage({ id, result }, result?.bitmap ? [result.bitmap] : []);
    } catch (error) {
      self.postMessage({ id, error: explain(error) });
    }
  });
};
