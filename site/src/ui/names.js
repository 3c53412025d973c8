// What people call their files, made harmless: the same as fer_utils/files.py and fer_utils/live/photos.py.

const BLANKS = "[ \\t\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\xa0\\xad\\u2000-\\u200f\\u2060\\u3000\\ufeff]*";
const SIGNS = "[=+\\-@\\u2212\\ufe62-\\ufe66\\ufe6b\\uff0b\\uff0d\\uff1d\\uff20]"; // the last ones are full-width and small forms
const FORMULA = new RegExp(`(^|[\\n\\r\\v\\f\\x85\\u2028\\u2029;])(?=${BLANKS}${SIGNS})`, "g");
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

/** Put a quote before a text, or a line of it, that a spreadsheet would take for a formula and run. */
export function escapeFormula(text) {
  if (NUMBER.test(text)) return text;
  return text.replace(FORMULA, "$1'").replace(/^(?=[\t\r\n])/, "'");
}

/** Return a file name's stem in characters that any system takes; the number before it makes it unique. */
export function safeStem(name) {
  const stem = name.split(/[/\\]/).at(-1).replace(/\.[\p{L}\p{N}_]{1,5}$/u, "");
  return [...stem.replace(/[^\p{L}\p{N}_-]+/gu, "_").replace(/^_+|_+$/g, "")].slice(0, 60).join("") || "photo";
}
