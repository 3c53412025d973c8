// What all photos say together: counts, corrected shares with intervals, and the files to take along.
import { make, percent, picture, saveFile } from "../../../fer_utils/live/static/common.js";
import { largest } from "../../../fer_utils/live/static/common.js";
import { facesCsv, resultsZip } from "./files.js";
import { estimateShares } from "./shares.js";

export function resultsPart(app, photos, { cleared }) {
  const { words, word, shared } = app;
  const valences = [...new Set(Object.values(shared.valence))].sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
  const groups = valences.map((name) => shared.emotions.map((emotion, k) => (shared.valence[emotion] === name ? k : -1))
    .filter((k) => k >= 0));
  let asked = ""; // what the last estimate was made of
  let drawing = false;
  let before = photos.items.length; // so many photos were there

  const status = make("p", { class: "fer-status", role: "status" });
  const bar = make("progress", { max: "1", value: "0", "aria-hidden": "true", hidden: true });
  const steps = make("span", { class: "fer-hint", "aria-hidden": "true" });
  const csv = make("button", { type: "button", onclick: () => saveFile([facesCsv(photos.items, app)], "faces.csv", "text/csv") },
    words.downloadCsv);
  const zip = make("button", { type: "button", title: words.zipHolds, onclick: saveZip }, words.downloadZip);
  const clear = make("button", { type: "button", onclick: () => { photos.remove(photos.items); cleared(); } },
    words.clearAll);
  const tools = make("div", { class: "page-tools", hidden: true },
    make("div", { class: "page-progress" }, status, bar, steps), make("div", { class: "fer-buttons" }, csv, zip, clear));

  const body = make("tbody");
  const means = make("p", { class: "fer-hint" });
  const unsure = make("p", { class: "fer-hint" });
  const head = [[words.expression, ""], ["", "page-wide"], [words.faces, ""], [words.corrected, ""]];
  const element = make("section", { class: "page-summary", hidden: true, "aria-labelledby": "summary" },
    make("h2", { id: "summary" }, words.summary),
    make("table", {}, make("caption", { class: "page-hidden" }, words.summaryCaption),
      make("thead", {}, make("tr", {}, ...head.map(([text, kind]) => (text ? make("th", { scope: "col", class: kind }, text)
        : make("td", { class: kind }))))), body), unsure, means);

  function update() {
    const done = photos.items.filter(({ state }) => state === "done");
    const faces = done.flatMap((item) => item.faces);
    const working = photos.working();
    tools.hidden = !photos.items.length;
    csv.disabled = zip.disabled = working || drawing || !done.some((item) => !item.error);
    bar.hidden = !working;
    if (working) {
      bar.value = done.length / photos.items.length;
      steps.textContent = word("progress", { done: done.length, all: photos.items.length });
      status.textContent = app.count("working", photos.items.length);
    } else if (photos.items.length && !drawing) {
      const read = done.filter((item) => !item.error).length;
      steps.textContent = "";
      status.textContent = word("found", { faces: app.count("faceCount", faces.length), photos: app.count("photoCount", read) }) +
        (read < done.length ? `; ${app.count("notRead", done.length - read)}` : "");
    }
    element.hidden = !faces.length || working;
    if (photos.items.length && !before) tools.scrollIntoView({ block: "nearest" });
    before = photos.items.length;
    if (!element.hidden) summarise(done, faces);
  }

  function summarise(done, faces) {
    const low = faces.filter((face) => Math.max(...face.probabilities) < app.unsure).length;
    unsure.textContent = low ? app.count("unsureCount", low) : "";
    const units = done.filter((item) => item.faces.length).map((item) => shared.emotions.map((_, k) =>
      item.faces.filter((face) => largest(face.probabilities) === k).length));
    const question = app.network + JSON.stringify(units);
    if (question === asked) return;
    asked = question;
    const { confusion, confusion_of: of } = shared.networks[app.network];
    means.textContent = word("correctedMeans", { faces: `FER2013, ${of.split(" ")[0]}` });
    fillTable(units, null);
    estimateShares(units, confusion, groups, shared.shares).then((rows) => question === asked && fillTable(units, rows));
  }

  function fillTable(units, rows) {
    const counts = shared.emotions.map((_, k) => units.reduce((total, unit) => total + unit[k], 0));
    const all = counts.reduce((a, b) => a + b, 0);
    const names = [...words.emotions.map((name, k) => ({ name, of: [k] })),
      ...groups.map((of, i) => ({ name: words.valences[ORDER.indexOf(valences[i])], of, group: true }))];
    body.replaceChildren(...names.map(({ name, of, group }, i) => {
      const faces = of.reduce((total, k) => total + counts[k], 0);
      const { corrected } = rows?.[i] ?? {};
      const interval = corrected && word("between", { low: Math.round(100 * corrected.low), high: percent(corrected.high) });
      return make("tr", { class: group ? "page-valence" : null },
        make("th", { scope: "row" }, group ? null : picture(of[0], app.look), make("span", {}, name)),
        make("td", { class: "page-wide" }, shareBar(faces / all, corrected, group ? null : app.look.colours[of[0]])),
        make("td", {}, `${faces}`), make("td", {}, corrected ? percent(corrected.at) : "…",
          corrected && make("span", { class: "page-between" }, interval)));
    }));
  }

  /** A bar of the counted share, with a line from one end of the corrected share's interval to the other. */
  function shareBar(share, corrected, colour) {
    const bar = make("span", { class: "page-share", "aria-hidden": "true" }, make("span", { class: "page-counted" }));
    bar.firstChild.style.width = `${100 * share}%`;
    if (colour) bar.firstChild.style.background = colour;
    if (corrected) {
      const line = make("span", { class: "page-interval" }, make("span"));
      line.style.left = `${100 * corrected.low}%`;
      line.style.width = `${100 * (corrected.high - corrected.low)}%`;
      line.firstChild.style.left = `${(100 * (corrected.at - corrected.low)) / Math.max(corrected.high - corrected.low, 1e-9)}%`;
      bar.append(line);
    }
    return bar;
  }

  async function saveZip() {
    drawing = true;
    update();
    try {
      const parts = await resultsZip([...photos.items], app, (done, all) => { status.textContent = word("drawing", { done, all }); });
      saveFile(parts, "faces.zip", "application/zip");
      drawing = false;
      update();
    } catch {
      drawing = false;
      update();
      status.textContent = words.noRoomZip;
    }
  }

  return { element, tools, update };
}

const ORDER = ["negative", "neutral", "positive"];
