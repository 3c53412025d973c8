// The files to take along: the table as CSV, and a ZIP of it and the annotated photos. Names and columns are those of
// Python's photo app (fer_utils/live/photos.py).
import { strToU8, Zip, ZipDeflate, ZipPassThrough } from "fflate";
import { largest, make } from "../../../fer_utils/live/static/common.js";
import { PICTURES } from "../pictures.js";
import { escapeFormula, safeStem } from "./names.js";

const JPEG_QUALITY = 0.88;
const UNSURE_COLOUR = "#6e6e6e";

const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const shown = (face, { shared, unsure }) => {
  const best = largest(face.probabilities);
  return face.probabilities[best] >= unsure ? shared.emotions[best] : "unsure";
};

/** Return the table of all faces, with a row for each photo without any, as text that spreadsheets open. */
export function facesCsv(items, app) {
  const { emotions } = app.shared;
  const rows = [["number", "photo", "face", "x", "y", "width", "height", "score", "emotion", "confidence", ...emotions, "note"]];
  items.forEach((item, i) => {
    const start = [`${i + 1}`, escapeFormula(item.name)];
    const note = escapeFormula(noteOf(item, app));
    item.faces.forEach((face, k) => rows.push([...start, `${k + 1}`, ...face.box.map((value) => `${Math.round(value)}`),
      face.score.toFixed(4), shown(face, app), Math.max(...face.probabilities).toFixed(4),
      ...face.probabilities.map((share) => share.toFixed(4)), note]));
    if (!item.faces.length) rows.push([...start, ...new Array(8 + emotions.length).fill(""), note]);
  });
  return `\ufeff${rows.map((row) => `${row.map(field).join(",")}\n`).join("")}`;
}

function noteOf(item, { words, word, shared }) {
  const values = { pixels: Math.round(shared.photos.max_pixels / 1e6), reason: item.error?.message };
  if (item.error) return word(words[`error.${item.error.code}`] ? `error.${item.error.code}` : "error.failed", values);
  return item.faces.length ? "" : words.noFaces;
}

/** Return the parts of a ZIP file of ``faces.csv`` and the annotated photos; `progress` hears of each photo. */
export async function resultsZip(items, app, progress) {
  const parts = [];
  let failed = null;
  const zip = new Zip((error, part) => { if (error) failed = error; else parts.push(part); });
  const emoji = await Promise.all(PICTURES.map(pictureOf));
  for (const [i, item] of items.entries()) {
    progress(i + 1, items.length);
    if (!item.jpeg) continue;
    const file = new ZipPassThrough(`${String(i + 1).padStart(2, "0")}_${safeStem(item.name)}.jpg`); // JPEGs do not get smaller
    zip.add(file);
    file.push(new Uint8Array(await (await annotated(item, app, emoji)).arrayBuffer()), true);
    if (failed) throw failed;
  }
  const table = new ZipDeflate("faces.csv");
  zip.add(table);
  table.push(strToU8(facesCsv(items, app)), true);
  zip.end();
  if (failed) throw failed;
  return parts;
}

async function pictureOf(address) {
  const image = make("img", { src: address });
  await image.decode();
  return image;
}

/** Return a photo as JPEG with its faces' boxes and names drawn on it. */
async function annotated(item, app, emoji) {
  const photo = await createImageBitmap(item.jpeg);
  const canvas = make("canvas", { width: photo.width, height: photo.height });
  const context = canvas.getContext("2d");
  context.drawImage(photo, 0, 0);
  photo.close();
  const scale = canvas.width / item.width;
  const line = 2 * Math.max(Math.max(canvas.width, canvas.height) / 640, 1);
  for (const face of [...item.faces].reverse()) { // the largest face comes first, its name on top
    const best = largest(face.probabilities);
    const sure = face.probabilities[best] >= app.unsure;
    const colour = sure ? app.look.colours[best] : UNSURE_COLOUR;
    const [x, y, width, height] = face.box.map((value) => value * scale);
    for (const [style, wide] of [["#161616", line + 2], [colour, line]]) {
      Object.assign(context, { strokeStyle: style, lineWidth: wide });
      context.strokeRect(x, y, width, height);
    }
    const text = sure ? `${app.words.emotions[best]} ${Math.round(100 * face.probabilities[best])}%` : app.words.unsure;
    drawName(context, text, colour, sure ? emoji[best] : null, [x - line / 2, y, width], line);
  }
  return new Promise((done, fail) => canvas.toBlob((jpeg) => (jpeg ? done(jpeg) : fail(new Error("no room"))), "image/jpeg", JPEG_QUALITY));
}

/** Draw a face's name above it, or inside its upper edge where there is no room above. */
function drawName(context, text, colour, emoji, [x, y, width], line) {
  const size = Math.round(Math.min(Math.max(width * 0.17, 4.5 * line, 10), 7.5 * line)); // smaller on the small faces of a crowd
  context.font = `600 ${size}px system-ui, sans-serif`;
  const high = Math.round(size * 1.5);
  const pad = Math.round(size / 3);
  const before = emoji ? high + pad : pad;
  const wide = before + context.measureText(text).width + pad;
  const left = Math.min(Math.max(x, 0), Math.max(context.canvas.width - wide, 0));
  const top = y >= high ? y - high : y;
  context.fillStyle = colour;
  context.fillRect(left, top, wide, high);
  if (emoji) context.drawImage(emoji, left, top, high, high);
  context.fillStyle = lightness(colour) > 0.179 ? "#161616" : "#ffffff"; // whichever has more contrast (WCAG 2)
  context.textBaseline = "middle";
  context.fillText(text, left + before, top + high / 2);
}

function lightness(colour) {
  const [r, g, b] = [1, 3, 5].map((at) => (Number.parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
