// The gallery: each photo with boxes on it, and a tile for each face: two strongest emotions, on a click all seven.
import { barList, drawBoxes, make, named, percent, picture, showBars } from "../../../fer_utils/live/static/common.js";

/** Return the indices of the two largest probabilities. */
export const strongest = (probabilities) => [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]).slice(0, 2);

export function galleryPart(app, photos, { emptied }) {
  const { words, word } = app;
  const shown = new Map(); // item -> {card, state of what it shows}
  const list = make("div", { class: "fer-list" });
  const element = make("section", { class: "page-gallery", "aria-label": words.photos, hidden: true },
    make("h2", { class: "page-hidden" }, words.photos), list);

  function update() {
    element.hidden = !photos.items.length;
    for (const [item, { card }] of shown) {
      if (photos.items.includes(item)) continue;
      card.remove();
      shown.delete(item);
    }
    for (const item of photos.items) {
      if (!shown.has(item)) {
        shown.set(item, { card: make("article", { class: "fer-item" }) });
        list.append(shown.get(item).card);
      }
      draw(item, shown.get(item));
    }
  }

  function draw(item, entry) {
    const fresh = item.state === "done" ? item.faces : item.state;
    if (entry.fresh !== fresh || entry.error !== item.error) {
      Object.assign(entry, { fresh, error: item.error, sides: null });
      if (item.state === "done") fillCard(item, entry);
      else if (!item.address || !entry.layer) waiting(item, entry);
      else entry.card.classList.add("page-again");
    }
    if (item.state !== "done" || !item.address || item.error) return;
    // Changed only where a face became sure or unsure.
    const sides = item.faces.map((face) => Math.max(...face.probabilities) >= app.unsure).join();
    if (entry.sides === sides) return;
    entry.sides = sides;
    drawBoxes(entry.layer, item.faces, item.width, item.height, app.look, app.unsure);
    entry.tiles.forEach((tile, i) => fillTile(tile, item.faces[i]));
  }

  function waiting(item, { card }) {
    card.className = "fer-item page-waiting";
    card.replaceChildren(head(item, item.state === "looking" ? words.looking : words.waiting));
  }

  function head(item, text) {
    return make("header", {}, make("h3", { class: "fer-file" }, item.name), make("span", { class: "fer-hint" }, text),
      make("button", { type: "button", class: "fer-remove", "aria-label": word("remove", { name: item.name }),
        onclick: () => removeItem(item) }, "✕"));
  }

  function removeItem(item) {
    const at = photos.items.indexOf(item);
    const next = shown.get(photos.items[at + 1] ?? photos.items[at - 1])?.card.querySelector(".fer-remove");
    photos.remove([item]);
    if (next) next.focus({ preventScroll: true });
    else emptied();
  }

  function errorText({ code, message }) {
    const pixels = Math.round(app.shared.photos.max_pixels / 1e6);
    return word(words[`error.${code}`] ? `error.${code}` : "error.failed", { pixels, reason: message ?? code });
  }

  function fillCard(item, entry) {
    const { card } = entry;
    if (item.error) {
      entry.layer = null;
      card.className = "fer-item fer-failed";
      card.replaceChildren(head(item, ""), make("p", { class: "fer-note" }, errorText(item.error)));
      return;
    }
    const count = item.faces.length ? app.count("faceCount", item.faces.length) : words.noFaces;
    entry.layer = make("div", { class: "fer-boxes", "aria-hidden": "true" });
    entry.tiles = item.faces.map((_, i) => tile(item, i));
    card.className = `fer-item page-photo${item.faces.length ? "" : " fer-empty"}`;
    card.replaceChildren(head(item, count), make("div", { class: "fer-picture" },
      make("img", { src: item.address, alt: `${item.name}, ${count}`, loading: "lazy", decoding: "async" }), entry.layer),
    make("div", { class: "page-tiles" }, ...entry.tiles));
  }

  function tile(item, i) {
    const number = item.faces.length > 1 ? make("span", { class: "fer-number", "aria-hidden": "true" }, `${i + 1}`) : null;
    const element = make("details", { class: "page-tile" },
      make("summary", {}, make("span", { class: "page-thumb" }, make("img", { src: item.thumbs[i], alt: "", loading: "lazy" }), number,
        make("span", { class: "page-emoji" })),
        make("span", { class: "page-hidden" }, word("faceOf", { n: i + 1 }), " "), make("span", { class: "page-names" })));
    // The seven bars come when they are asked for: with 200 photos most never are.
    element.addEventListener("toggle", () => {
      if (!element.open || element.querySelector(".fer-bars")) return;
      const bars = barList(app.look);
      showBars(bars, item.faces[i].probabilities);
      element.append(bars);
    });
    return element;
  }

  function fillTile(tile, face) {
    const { index, sure, name } = named(face, app.look, app.unsure);
    const line = (k, i) => make("span", { class: sure && i === 0 ? "fer-answer" : "" },
      make("span", { class: "page-name" }, words.emotions[k]), " ", make("span", { class: "fer-share" }, percent(face.probabilities[k])));
    tile.classList.toggle("fer-unsure", !sure);
    tile.querySelector(".page-emoji").replaceChildren(picture(index, app.look, sure));
    tile.querySelector(".page-names").replaceChildren(
      ...(sure ? [] : [make("span", { class: "fer-answer" }, make("span", { class: "page-name" }, name))]),
      ...strongest(face.probabilities).map(line));
  }

  return { element, update };
}
