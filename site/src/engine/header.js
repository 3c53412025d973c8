// What the first bytes of a file say: the kind of picture and its size, before a decoder makes room for it.

const text = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to));
const big = (bytes, at, count) => bytes.subarray(at, at + count).reduce((value, byte) => value * 256 + byte, 0);
const little = (bytes, at, count) => bytes.subarray(at, at + count).reduceRight((value, byte) => value * 256 + byte, 0);
const HEIC = ["heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"];

/** {kind, width, height} of a file's bytes; kind is "" where it is no picture that is known, sizes 0 where not told. */
export function readHeader(bytes) {
  const size = (kind, width, height) => ({ kind, width, height });
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return { kind: "jpeg", ...jpegSize(bytes) };
  if (text(bytes, 1, 4) === "PNG") return size("png", big(bytes, 16, 4), big(bytes, 20, 4));
  if (text(bytes, 0, 3) === "GIF") return size("gif", little(bytes, 6, 2), little(bytes, 8, 2));
  if (text(bytes, 0, 2) === "BM") {
    if (little(bytes, 14, 4) === 12) return size("bmp", little(bytes, 18, 2), little(bytes, 20, 2)); // as OS/2 wrote them
    const height = little(bytes, 22, 4);
    return size("bmp", little(bytes, 18, 4), height > 2 ** 31 ? 2 ** 32 - height : height);
  }
  if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 12) === "WEBP") return { kind: "webp", ...webpSize(bytes) };
  if (text(bytes, 4, 8) === "ftyp") {
    const brands = text(bytes, 8, Math.min(big(bytes, 0, 4), 64, bytes.length));
    return { kind: brands.includes("avif") ? "avif" : HEIC.some((brand) => brands.includes(brand)) ? "heic" : "",
      ...boxSize(bytes) };
  }
  if (["II*\0", "MM\0*"].includes(text(bytes, 0, 4))) return size("tiff", 0, 0);
  return size("", 0, 0);
}

/** The largest size that an AVIF or HEIC file gives in its "ispe" boxes. */
function boxSize(bytes) {
  let width = 0, height = 0;
  for (let i = 0; i < bytes.length - 16; i++) {
    if (bytes[i] !== 0x69 || text(bytes, i, i + 4) !== "ispe") continue;
    const [w, h] = [big(bytes, i + 8, 4), big(bytes, i + 12, 4)];
    if (w * h > width * height) [width, height] = [w, h];
  }
  return { width, height };
}

function jpegSize(bytes) {
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff;) {
    const mark = bytes[at + 1];
    if (mark === 0xff) { at += 1; continue; }
    const frame = mark >= 0xc0 && mark <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(mark);
    if (frame) return { width: big(bytes, at + 7, 2), height: big(bytes, at + 5, 2) };
    at += 2 + big(bytes, at + 2, 2);
  }
  return { width: 0, height: 0 };
}

function webpSize(bytes) {
  const kind = text(bytes, 12, 16);
  if (kind === "VP8X") return { width: 1 + little(bytes, 24, 3), height: 1 + little(bytes, 27, 3) };
  if (kind === "VP8L") {
    const bits = little(bytes, 21, 4);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  return { width: little(bytes, 26, 2) & 0x3fff, height: little(bytes, 28, 2) & 0x3fff };
}

/**
 * How many scans a JPEG has: a small file of thousands keeps a decoder busy for minutes. What segments hold (a small
 * picture) and what follows the end (a phone's short film) is not counted, since a decoder does not read it.
 */
export function countScans(bytes) {
  let scans = 0;
  for (let at = bytes.indexOf(0xff, 2); at >= 0; at = bytes.indexOf(0xff, at)) {
    const mark = bytes[at + 1];
    if (mark === 0xd9) break; // the end
    scans += mark === 0xda;
    const bare = mark <= 0x01 || (mark >= 0xd0 && mark <= 0xd8); // no segment: a stuffed zero, a restart
    at += mark === 0xff ? 1 : bare ? 2 : 2 + Math.max(big(bytes, at + 2, 2), 2);
  }
  return scans;
}
