// Pixels, with the same numbers as Python's OpenCV: crops, resizing, gray values, and a network's input.
// An image here is {width, height, channels, data}, data row by row. Nothing here needs a browser.

/** Round as Python does: halves go to the even number. */
export function round(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

/** An image whose pixels are in memory. */
export function pixels(width, height, channels, data = new Uint8ClampedArray(width * height * channels)) {
  return { width, height, channels, data };
}

/** Gray values as OpenCV's RGB2GRAY computes them. */
export function gray(image) {
  const { channels, data } = image;
  const out = pixels(image.width, image.height, 1);
  for (let i = 0, j = 0; i < out.data.length; i++, j += channels) {
    out.data[i] = (data[j] * 9798 + data[j + 1] * 19235 + data[j + 2] * 3735 + 16384) >> 15;
  }
  return out;
}

/** A face's square: centre and exact side, `margin` times the longer side of its box. */
export function faceSquare([x, y, width, height], margin) {
  return { x: x + width / 2, y: y + height / 2, side: Math.max(width, height) * margin };
}

/** Where a face's crop lies: left, top and side in whole pixels. */
export function cropPlace(box, margin) {
  const square = faceSquare(box, margin);
  const side = Math.max(round(square.side), 1);
  return { left: round(square.x - side / 2), top: round(square.y - side / 2), side };
}

/**
 * Cut a square out of a picture, RGB; where it reaches over the edge, the edge is continued.
 * A picture is {width, height, rgba(left, top, width, height)}.
 */
export function crop(picture, { left, top, side }) {
  const clip = (value, size) => Math.min(Math.max(value, 0), size - 1);
  const x0 = clip(left, picture.width), x1 = clip(left + side - 1, picture.width);
  const y0 = clip(top, picture.height), y1 = clip(top + side - 1, picture.height);
  const width = x1 - x0 + 1;
  const inside = picture.rgba(x0, y0, width, y1 - y0 + 1);
  const out = pixels(side, side, 3);
  for (let y = 0, to = 0; y < side; y++) {
    const row = (clip(top + y, picture.height) - y0) * width;
    for (let x = 0; x < side; x++, to += 3) {
      const from = (row + clip(left + x, picture.width) - x0) * 4;
      out.data[to] = inside[from];
      out.data[to + 1] = inside[from + 1];
      out.data[to + 2] = inside[from + 2];
    }
  }
  return out;
}

/** A picture whose pixels, RGBA, are in memory. */
export function memoryPicture(width, height, data) {
  return {
    width,
    height,
    rgba(left, top, w, h) {
      if (left === 0 && w === width) return data.subarray(top * width * 4, (top + h) * width * 4);
      const out = new Uint8ClampedArray(w * h * 4);
      for (let y = 0; y < h; y++) {
        const from = ((top + y) * width + left) * 4;
        out.set(data.subarray(from, from + w * 4), y * w * 4);
      }
      return out;
    },
  };
}

/** What each target pixel covers of the source, along one axis: OpenCV's computeResizeAreaTab. */
function areaTable(from, to, whole) {
  const scale = from / to;
  const starts = new Int32Array(to + 1), places = [], weights = [];
  for (let i = 0; i < to; i++) {
    const low = i * scale, high = low + scale, cell = Math.min(scale, from - low);
    const last = Math.min(Math.floor(high), from - 1), first = Math.min(Math.ceil(low), last);
    if (first - low > 1e-3) places.push(first - 1), weights.push((first - low) / cell);
    for (let k = first; k < last; k++) places.push(k), weights.push(1 / cell);
    if (high - last > 1e-3) places.push(last), weights.push(Math.min(high - last, 1, cell) / cell);
    starts[i + 1] = places.length;
  }
  // In whole steps: sums of whole numbers, which are divided once, at the end.
  return { starts, places: Int32Array.from(places), weights: Float32Array.from(weights, (w) => (whole ? 1 : w)) };
}

/**
 * Shrink by averaging areas (OpenCV's INTER_AREA). `read(top, rows)` gives rows of the source with `channels` values a
 * pixel, of which the first `kept`, 3 or 1, are used; so a large photo need not be in memory as a whole.
 */
export function resizeArea(read, from, to, channels, kept = Math.min(channels, 3)) {
  const whole = from.width % to.width === 0 && from.height % to.height === 0;
  const across = areaTable(from.width, to.width, whole), down = areaTable(from.height, to.height, whole);
  const area = whole ? (from.width / to.width) * (from.height / to.height) : 1;
  const shrinkLine = kept === 3 ? shrinkColours : shrinkGrays;
  const out = pixels(to.width, to.height, kept);
  const line = new Float64Array(to.width * kept), sum = new Float64Array(to.width * kept);
  let strip = null, stripTop = 0, stripRows = 0, lineOf = -1;
  const rowsAtOnce = Math.max(1, Math.floor(4e6 / (from.width * channels)));
  for (let y = 0; y < to.height; y++) {
    sum.fill(0);
    for (let k = down.starts[y]; k < down.starts[y + 1]; k++) {
      const row = down.places[k];
      if (row >= stripTop + stripRows || strip === null) {
        stripTop = row;
        stripRows = Math.min(rowsAtOnce, from.height - row);
        strip = read(stripTop, stripRows);
      }
      if (row !== lineOf) shrinkLine(strip, (row - stripTop) * from.width * channels, across, line, channels);
      lineOf = row;
      const weight = down.weights[k];
      for (let i = 0; i < sum.length; i++) sum[i] += line[i] * weight;
    }
    // Halves: OpenCV rounds them to even, but means of 2 × 2 pixels up. A clamped array rounds to even by itself.
    const up = whole && area === 4 ? 0.001 : 0;
    for (let i = 0, j = y * sum.length; i < sum.length; i++, j++) out.data[j] = sum[i] / area + up;
  }
  return out;
}

/** Shrink one row along its length into `line`: three colours, of `channels` values a pixel. */
function shrinkColours(data, offset, { starts, places, weights }, line, channels) {
  for (let x = 0, to = 0; to < line.length; x++, to += 3) {
    let red = 0, green = 0, blue = 0;
    for (let k = starts[x]; k < starts[x + 1]; k++) {
      const at = offset + places[k] * channels, weight = weights[k];
      red += data[at] * weight;
      green += data[at + 1] * weight;
      blue += data[at + 2] * weight;
    }
    line[to] = red;
    line[to + 1] = green;
    line[to + 2] = blue;
  }
}

function shrinkGrays(data, offset, { starts, places, weights }, line) {
  for (let x = 0; x < line.length; x++) {
    let total = 0;
    for (let k = starts[x]; k < starts[x + 1]; k++) total += data[offset + places[k]] * weights[k];
    line[x] = total;
  }
}

/** Shrink a picture to at most `side` pixels on its longer side; {image (RGB), scale}, the scale at most 1. */
export function shrunk(picture, side) {
  const scale = side / Math.max(picture.width, picture.height);
  if (scale >= 1) return { image: colours(picture), scale: 1 };
  const size = (value) => Math.max(round(value * scale), 1);
  const to = { width: size(picture.width), height: size(picture.height) };
  const image = resizeArea((top, rows) => picture.rgba(0, top, picture.width, rows), picture, to, 4);
  return { image, scale };
}

/** A whole picture as an RGB image. */
function colours(picture) {
  const out = pixels(picture.width, picture.height, 3), data = picture.rgba(0, 0, picture.width, picture.height);
  for (let from = 0, to = 0; to < out.data.length; from += 4, to += 3) {
    out.data[to] = data[from];
    out.data[to + 1] = data[from + 1];
    out.data[to + 2] = data[from + 2];
  }
  return out;
}

/** An image in memory as a picture, so that it can be shrunk again. */
export function asPicture(image) {
  return {
    width: image.width,
    height: image.height,
    rgba(left, top, width, height) {
      const out = new Uint8ClampedArray(width * height * 4);
      for (let y = 0, to = 0; y < height; y++) {
        let from = ((top + y) * image.width + left) * 3;
        for (let x = 0; x < width; x++, to += 4, from += 3) {
          out[to] = image.data[from];
          out[to + 1] = image.data[from + 1];
          out[to + 2] = image.data[from + 2];
        }
      }
      return out;
    },
  };
}

/**
 * The source pixels near each target pixel, and their weights. Linear ones are whole numbers of 1/2048, OpenCV's fixed
 * point; its cubic way computes with exact numbers (measured on OpenCV 4.14 for x86).
 */
function tapTable(from, to, cubic) {
  const taps = cubic ? 4 : 2;
  const places = new Int32Array(to * taps), weights = new Float64Array(to * taps);
  for (let i = 0; i < to; i++) {
    let part = Math.fround((i + 0.5) * (from / to) - 0.5);
    let place = Math.floor(part);
    part = Math.fround(part - place);
    if (!cubic && place < 0) part = 0, place = 0;
    if (!cubic && place >= from - 1) part = 0, place = from - 1;
    const shares = cubic ? cubicShares(part) : [1 - part, part].map((share) => round(share * 2048));
    for (let k = 0; k < taps; k++) {
      places[i * taps + k] = Math.min(Math.max(place + k - (cubic ? 1 : 0), 0), from - 1);
      weights[i * taps + k] = shares[k];
    }
  }
  return { taps, places, weights };
}

function cubicShares(x) {
  const a = -0.75;
  const far = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
  const near = ((a + 2) * x - (a + 3)) * x * x + 1;
  const next = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
  return [far, near, next, 1 - far - near - next];
}

/** Enlarge a square image, or shrink it a little: OpenCV's INTER_CUBIC or INTER_LINEAR. */
export function enlarge(image, side, cubic) {
  const { channels } = image;
  const across = tapTable(image.width, side, cubic), down = tapTable(image.height, side, cubic);
  const { taps } = across;
  const lines = new Float64Array(image.height * side * channels);
  for (let y = 0, to = 0; y < image.height; y++) {
    for (let x = 0; x < side; x++) {
      for (let c = 0; c < channels; c++, to++) {
        let total = 0;
        for (let k = x * taps; k < (x + 1) * taps; k++) {
          total += image.data[(y * image.width + across.places[k]) * channels + c] * across.weights[k];
        }
        lines[to] = total;
      }
    }
  }
  const out = pixels(side, side, channels), width = side * channels;
  for (let y = 0, to = 0; y < side; y++) {
    for (let i = 0; i < width; i++, to++) {
      let total = 0;
      for (let k = y * taps; k < (y + 1) * taps; k++) {
        const value = lines[down.places[k] * width + i];
        total += cubic ? value * down.weights[k] : ((value >> 4) * down.weights[k]) >> 16; // linear: drops bits
      }
      out.data[to] = cubic ? total : (total + 2) >> 2;
    }
  }
  return out;
}

/** Resize a square image to `side`: by areas where it shrinks, else by the named way. */
export function resizeSquare(image, side, cubic) {
  if (image.width === side) return image;
  if (image.width < side) return enlarge(image, side, cubic);
  const width = image.width * image.channels;
  return resizeArea((top, rows) => image.data.subarray(top * width, (top + rows) * width), image,
    { width: side, height: side }, image.channels, image.channels);
}

/** A network's input from face crops: gray, resized, scaled; float32 of crops.length × size × size × channels. */
export function facesToTensor(crops, spec) {
  const one = spec.size * spec.size;
  const out = new Float32Array(crops.length * one * spec.channels);
  crops.forEach((face, n) => {
    const { data } = resizeSquare(face.channels === 1 ? face : gray(face), spec.size, spec.enlarge === "cubic");
    let mean = 0, scale = 255;
    if (spec.scaling === "standard") {
      for (const value of data) mean += value;
      mean /= one;
      let squares = 0;
      for (const value of data) squares += (value - mean) ** 2;
      scale = Math.max(Math.sqrt(squares / one), 1);
    }
    let to = n * one * spec.channels;
    for (const value of data) {
      for (let c = 0; c < spec.channels; c++) out[to++] = (value - mean) / scale;
    }
  });
  return out;
}
