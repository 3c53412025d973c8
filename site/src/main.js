// The page: its state, and how its parts are put together. It is built anew when the language changes.
import shared from "virtual:shared";
import "../../fer_utils/live/static/widgets.css";
import "./style.css";
import { dropZone, make } from "../../fer_utils/live/static/common.js";
import { createEngine } from "./engine/engine.js";
import { PICTURES } from "./pictures.js";
import { choices, remembered } from "./ui/choices.js";
import { intakePart } from "./ui/intake.js";
import { livePart } from "./ui/live.js";
import { createPhotos } from "./ui/photos.js";
import { galleryPart } from "./ui/gallery.js";
import { resultsPart } from "./ui/results.js";
import { fill, languageFor, WORDS } from "./words.js";

const root = document.getElementById("page");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const hasKeys = !matchMedia("(hover: none) and (pointer: coarse)").matches; // a phone has no Space and Esc
const app = {
  root,
  shared,
  language: remembered("language", Object.keys(WORDS)) ?? languageFor(navigator.languages),
  theme: remembered("theme", ["light", "dark"]) ?? "system",
  network: "tiny",
  unsure: shared.unsure,
  engine: null,
  trouble: null,
};

app.word = (key, values) => fill(app.words[key], values);
app.count = (key, n) => fill(app.words[key][app.plurals.select(n) === "one" ? "one" : "other"], { n });

app.engineReady = createEngine({
  network: app.network,
  onProgress: ({ loaded, total }) => { app.loaded = loaded / total; parts.intake?.showLoading(); },
}).then((engine) => {
  app.engine = engine;
  parts.intake?.showLoading();
  parts.intake?.showNetworks();
  return engine;
});
app.engineReady.catch((error) => {
  app.trouble = error;
  parts.intake?.showLoading();
});

const photos = createPhotos(app, () => {
  parts.gallery?.update();
  parts.results?.update();
  parts.intake?.update();
});
const parts = {};

/** Change the network; the photos that are there are looked at once more. */
app.useNetwork = async (name) => {
  app.changing = name;
  parts.intake.showChange();
  let failed = null;
  try {
    await app.engine.use(name);
    app.network = name;
  } catch (error) {
    failed = error;
  }
  app.changing = null;
  parts.intake.showChange(failed);
  if (!failed) photos.again();
};

function dress() {
  const dark = app.theme === "system" ? prefersDark.matches : app.theme === "dark";
  root.classList.toggle("fer-dark", dark);
  document.documentElement.classList.toggle("dark", dark);
}

function build() {
  parts.live?.remove();
  const { words } = app;
  document.documentElement.lang = app.language;
  document.title = words.title;
  parts.intake = intakePart(app, photos, { openCamera: () => parts.live.open() });
  parts.live = livePart(app, photos, { closed: () => parts.intake.focusCamera() });
  parts.gallery = galleryPart(app, photos, { emptied: () => parts.intake.focusChoose() });
  parts.results = resultsPart(app, photos, { cleared: () => { parts.intake.say(words.cleared); parts.intake.focusChoose(); } });
  const chosen = choices(app, { language: (name) => speak(name, true), theme: (name) => { app.theme = name; dress(); } });
  root.replaceChildren(
    make("header", { class: "page-head" }, make("div", {}, make("h1", {}, words.title),
      make("p", { class: "fer-hint" }, words.purpose)), chosen.element),
    parts.intake.element, parts.live.element, parts.intake.settings, parts.results.tools, parts.gallery.element,
    parts.results.element,
    make("footer", {}, make("p", { class: "fer-limits" }, words.limits), licences()),
  );
  parts.intake.showLoading();
  parts.intake.showNetworks();
  photos.changed();
  return chosen;
}

/** Return a link to the licences of what the page is made of; the single file has their text within. */
function licences() {
  const within = document.getElementById("fer-licences");
  const address = within ? URL.createObjectURL(new Blob([within.textContent], { type: "text/plain;charset=utf-8" }))
    : "licences.txt";
  return make("p", { class: "fer-hint" }, make("a", { href: address, target: "_blank", rel: "noopener" }, app.words.licences));
}

function speak(language, focus = false) {
  app.language = language;
  app.words = WORDS[language];
  app.plurals = new Intl.PluralRules(language);
  // What the modules that the widgets share with the page look at.
  app.look = { emotions: app.words.emotions, colours: shared.emotions.map((name) => shared.colours[name]), pictures: PICTURES,
    words: hasKeys ? app.words : { ...app.words, cameraKeys: "" }, mirror: true, captureWidth: shared.photos.kept_side, get unsure() { return app.unsure; } };
  const chosen = build();
  if (focus) chosen.focusLanguage();
}

root.className = "fer page";
prefersDark.addEventListener("change", dress);
// Beside the page's column too: a file or an address that lands there would else take the page's place, and its photos.
const take = (files) => (files.length ? photos.add(files) : parts.intake.notice(app.words.noPicture));
let own = false; // the page's own pictures can be dragged elsewhere, and are not taken from there
document.addEventListener("dragstart", () => { own = true; });
document.addEventListener("dragend", () => { own = false; });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!own && !event.dataTransfer.files.length) take([]);
});
dropZone(document.documentElement, (files) => { if (!own) take(files); });
document.addEventListener("paste", (event) => take([...(event.clipboardData?.files ?? [])]));
speak(app.language);
dress();
if (!__SINGLE__ && window.isSecureContext) {
  addEventListener("load", async () => {
    try {
      await navigator.serviceWorker.register("./sw.js");
    } catch { /* not allowed here: then the page needs a connection */ }
  });
}
