// The photo app: photos go to the kernel in parts, one photo at a time.
import { drawBoxes, dropZone, keys, make, named, noticeOf, percent, picture, saveFile, showCards } from "./common.js";
import { connect, followTheme, greet } from "./kernel.js";
import { closeCamera, grab, jpegOf, openCamera } from "./webcam.js";
import { ENGLISH } from "./words.js";

const PART = 1 << 20;
const TAKE = "Take a photo";

function privacy() {
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const place = here ? "Photos stay on this computer"
    : `Photos go to the computer that runs this page (${location.hostname}) and nowhere else`;
  const until = document.body.dataset.voila === undefined
    ? "until you clear them or the notebook's kernel ends" : "while this page is open, and two minutes longer at most,";
  return `${place}. They are held in memory ${until} and are never written to disk, unless you download the result.`;
}

function render({ model, el }) {
  const root = make("section", { class: "fer fer-app", "aria-label": "Photo app" });
  el.append(root);
  const kernel = connect(model);
  const forget = followTheme(root);
  const mark = Math.random().toString(36).slice(2);
  const items = [];
  let settings = null;
  let made = 0;
  let queue = Promise.resolve();

  // What is on the page.
  const input = make("input", { type: "file", multiple: true, class: "fer-hidden", tabindex: "-1",
    "aria-hidden": "true", onchange: () => { add([...input.files]); input.value = ""; } });
  const choose = make("button", { type: "button", class: "fer-main", onclick: () => input.click() }, "Choose photos");
  const shoot = make("button", { type: "button", onclick: openBooth }, TAKE);
  const hint = make("p", { class: "fer-hint", id: `fer-${mark}` });
  choose.setAttribute("aria-describedby", hint.id);
  const drop = make("div", { class: "fer-drop" }, make("p", { class: "fer-lead" }, "Drop photos here"), input,
    make("div", { class: "fer-buttons" }, choose, shoot), hint);
  const video = make("video", { playsinline: true, muted: true, class: "fer-mirror", "aria-label": "What the camera sees" });
  video.muted = true;
  const snap = make("button", { type: "button", class: "fer-main", onclick: takePhoto }, "Take it ", make("kbd", {}, "Space"));
  const booth = make("div", { class: "fer-booth", hidden: true }, make("div", { class: "fer-stage fer-live" }, video),
    make("div", { class: "fer-buttons" }, snap,
      make("button", { type: "button", onclick: closeBooth }, "Close camera ", make("kbd", {}, "Esc"))));
  const trouble = make("div", { class: "fer-notices", role: "alert" });
  const status = make("p", { class: "fer-status", role: "status" });
  const slider = make("input", { type: "range", min: "15", max: "95", step: "1", id: `fer-unsure-${mark}`, oninput: moveThreshold });
  const level = make("output", { for: slider.id });
  const csv = make("button", { type: "button", onclick: () => download("csv", "faces.csv", "text/csv") }, "Download CSV");
  const zip = make("button", { type: "button", onclick: () => download("zip", "faces.zip", "application/zip") },
    "Download ZIP");
  zip.title = "The annotated photos and the table";
  const clear = make("button", { type: "button", onclick: clearAll }, "Clear all");
  const tools = make("div", { class: "fer-tools", hidden: true },
    make("div", { class: "fer-slider" }, make("label", { for: slider.id }, "Call a face unsure below ", level), slider),
    make("div", { class: "fer-buttons" }, csv, zip, clear));
  const list = make("div", { class: "fer-list" });
  const table = make("table", {});
  const all = make("section", { class: "fer-all", hidden: true, "aria-label": "All faces" },
    make("h3", {}, "All faces"), make("div", { class: "fer-scroll", tabindex: "0", "aria-label": "Table of all faces" }, table));

  // Photos come in.
  function add(files) {
    const room = Math.max(settings.max_photos - items.length, 0);
    const late = files.slice(room).map((file) => file.name);
    if (late.length) {
      const names = late.slice(0, 5).join(", ") + (late.length > 5 ? " …" : "");
      notice(`${late.length === 1 ? "1 photo was" : `${late.length} photos were`} left out, ${settings.max_photos} ` +
        `at once is the limit: ${names}. Remove some or clear all, then add the rest.`);
    }
    for (const file of files.slice(0, room)) enter(file);
  }

  function enter(file) {
    const item = newItem(file.name);
    if (file.size > settings.max_bytes) {
      return finish(item, { note: `Larger than ${settings.max_bytes >> 20} MB; shrink it first.`, faces: [] });
    }
    queue = queue.then(() => send(item, file));
  }

  function newItem(name) {
    const item = { id: `${mark}-${(made += 1)}`, name, card: make("article", { class: "fer-item" }), rows: make("tbody") };
    items.push(item);
    list.append(item.card);
    working(item, 0, "waiting");
    count();
    return item;
  }

  async function send(item, file) {
    if (item.gone) return;
    try {
      let at = 0;
      for (; at + PART < file.size; at += PART) {
        working(item, at / file.size, `sending, ${percent(at / file.size)}`);
        await patient(item, { kind: "part", photo: item.id }, file.slice(at, at + PART));
        if (item.gone) return;
      }
      working(item, null, "looking for faces");
      const answer = await patient(item, { kind: "photo", photo: item.id, name: item.name }, file.slice(at));
      if (item.gone) return void kernel.ask({ kind: "remove", photos: [item.id] });
      finish(item, answer);
    } catch (error) {
      const unread = error.name === "NotFoundError" || error.name === "NotReadableError";
      finish(item, { faces: [], note: unread ? "Could not be read; a folder? Choose the photos in it." : error.message });
    }
  }

  // A kernel that has ended never answers; a busy one answers in the end.
  async function patient(item, content, part) {
    const bytes = await part.arrayBuffer();
    const late = setTimeout(() => working(item, null, "no answer yet; if that lasts, reload the page"), 30000);
    try {
      return await kernel.ask(content, [bytes]);
    } finally {
      clearTimeout(late);
    }
  }

  function working(item, share, text) {
    const bar = make("progress", { max: "1", value: share, "aria-label": `${item.name}: ${text}` });
    item.card.className = "fer-item fer-working";
    item.card.replaceChildren(make("span", { class: "fer-file" }, item.name), bar, make("span", { class: "fer-hint" }, text));
  }

  // Results are shown.
  function finish(item, answer) {
    Object.assign(item, { done: true, faces: answer.faces, note: answer.note, width: answer.width, height: answer.height });
    const remove = make("button", { type: "button", class: "fer-remove", "aria-label": `Remove ${item.name}`,
      onclick: () => removeItems([item]) }, "✕");
    const head = make("header", {}, make("span", { class: "fer-file" }, item.name),
      make("span", { class: "fer-hint" }, item.faces.length ? countOf(item.faces.length, "face") : ""), remove);
    const note = item.note ? make("p", { class: "fer-note" }, item.note) : null;
    if (answer.buffers?.length) {
      item.address = URL.createObjectURL(new Blob([answer.buffers[0]], { type: "image/jpeg" }));
      item.layer = make("div", { class: "fer-boxes", "aria-hidden": "true" });
      item.cards = make("div", { class: "fer-faces" });
      if (item.faces.length > 3) item.cards.setAttribute("tabindex", "0");
      const image = make("img", { src: item.address, alt: `${item.name}, ${countOf(item.faces.length, "face")}` });
      const few = { 0: " fer-empty", 1: " fer-few", 2: " fer-few", 3: " fer-few" }[item.faces.length] ?? "";
      item.card.className = `fer-item fer-photo${few}`;
      item.card.replaceChildren(head, make("div", { class: "fer-picture" }, image, item.layer),
        make("div", { class: "fer-side" }, note, item.cards));
    } else {
      item.card.className = "fer-item fer-failed";
      item.card.replaceChildren(head, note ?? "");
    }
    table.append(item.rows);
    draw(item);
    count();
  }

  function draw(item) {
    const unsure = slider.value / 100;
    // Redraw only where a face became sure or unsure.
    const sides = item.faces.map((face) => Math.max(...face.probabilities) >= unsure).join();
    if (item.sides === sides) return;
    item.sides = sides;
    if (item.layer) drawBoxes(item.layer, item.faces, item.width, item.height, settings, unsure);
    if (item.cards) showCards(item.cards, item.faces, settings, unsure);
    item.rows.replaceChildren(...item.faces.map((face, i) => {
      const { index, name, sure, confidence } = named(face, settings, unsure);
      return make("tr", { class: sure ? null : "fer-unsure" }, make("td", { class: "fer-file" }, item.name),
        make("td", {}, `${i + 1}`), make("td", { class: "fer-answer" }, picture(index, settings, sure), ` ${name}`),
        make("td", {}, percent(confidence)),
        ...face.probabilities.map((share) => make("td", { class: "fer-wide" }, percent(share))));
    }));
  }

  function moveThreshold() {
    level.textContent = `${slider.value} %`;
    items.filter((item) => item.done).forEach(draw);
    count();
  }

  function countOf(n, what) {
    return n === 1 ? `1 ${what}` : `${n} ${what}s`;
  }

  function count() {
    const done = items.filter((item) => item.done);
    const faces = done.flatMap((item) => item.faces);
    tools.hidden = !items.length;
    all.hidden = !faces.length;
    root.classList.toggle("fer-filled", items.length > 0);
    csv.disabled = zip.disabled = done.length < items.length || !done.some((item) => item.address);
    if (done.length < items.length) {
      status.textContent = `Looking at photo ${done.length + 1} of ${items.length}`;
      return;
    }
    const tally = {};
    for (const face of faces) {
      const { name } = named(face, settings, slider.value / 100);
      tally[name] = (tally[name] ?? 0) + 1;
    }
    const parts = Object.entries(tally).sort((a, b) => b[1] - a[1]).map(([name, n]) => `${n} ${name}`);
    const read = items.filter((item) => item.address).length;
    status.textContent = !items.length ? "" :
      `${countOf(faces.length, "face")} in ${countOf(read, "photo")}${parts.length ? `: ${parts.join(", ")}` : ""}` +
      (read < items.length ? `; ${items.length - read} not read` : "");
  }

  function removeItems(leaving) {
    for (const item of leaving) {
      item.gone = true;
      if (item.address) URL.revokeObjectURL(item.address);
      item.card.remove();
      item.rows.remove();
      items.splice(items.indexOf(item), 1);
    }
    kernel.ask({ kind: "remove", photos: leaving.map((item) => item.id) }).catch((error) => notice(error.message));
    count();
    choose.focus({ preventScroll: true });
  }

  function clearAll() {
    trouble.replaceChildren();
    removeItems([...items]);
  }

  async function download(kind, name, type) {
    csv.disabled = zip.disabled = true;
    const progress = (done, of) => { status.textContent = `Drawing photo ${done} of ${of}`; };
    try {
      const answer = await kernel.ask({ kind, unsure: slider.value / 100 }, [], progress);
      saveFile(answer.buffers, name, type);
    } catch (error) {
      notice(error.message);
    }
    count();
  }

  function notice(text) {
    trouble.append(noticeOf(text, "Dismiss"));
  }

  // One photo from the camera.
  async function openBooth() {
    trouble.replaceChildren();
    shoot.disabled = true;  // until the camera is closed: opened twice, the first stream would stay on
    try {
      await openCamera(video, ENGLISH, TAKE);
    } catch (error) {
      shoot.disabled = false;
      return notice(error.message);
    }
    if (!root.isConnected) return closeCamera(video);
    booth.hidden = false;
    root.focus({ preventScroll: true });
    booth.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  function closeBooth() {
    if (booth.hidden) return false;
    closeCamera(video);
    booth.hidden = true;
    shoot.disabled = false;
    shoot.focus({ preventScroll: true });
  }

  function takePhoto() {
    if (booth.hidden || snap.disabled) return false;
    snap.disabled = true;  // a double click is one photo
    jpegOf(grab(video, 1600, false)).finally(() => { snap.disabled = false; }).then((jpeg) => {
      closeBooth();
      const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
      add([new File([jpeg], `camera-${time}.jpg`, { type: "image/jpeg" })]);
    });
  }

  root.setAttribute("tabindex", "-1");
  keys(root, { " ": takePhoto, Escape: closeBooth });

  greet(kernel, root).then(async (answer) => {
    settings = answer;
    dropZone(root, add);  // photos may be dropped anywhere on the app
    const kinds = ["image/jpeg", "image/png", "image/webp", ...(settings.heic ? ["image/heic", "image/heif"] : [])];
    input.accept = kinds.join();
    hint.textContent = `JPEG, PNG, WebP${settings.heic ? ", HEIC" : ""}. Up to ${settings.max_bytes >> 20} MB each, ` +
      `${settings.max_photos} at once.`;
    slider.value = Math.round(100 * settings.unsure);
    level.textContent = `${slider.value} %`;
    table.append(make("thead", {}, make("tr", {}, ...["Photo", "Face", "Expression", "Confidence"].map((text) =>
      make("th", { scope: "col" }, text)), ...settings.emotions.map((text) =>
      make("th", { scope: "col", class: "fer-wide" }, text)))));
    root.append(make("h2", {}, "Expressions in your photos"), make("p", { class: "fer-purpose fer-hint" },
      "Add photos: every face is found, and named by the expression that a network sees in it."), drop, booth, trouble,
      make("p", { class: "fer-hint fer-privacy" }, privacy()), tools, status, list, all,
      make("p", { class: "fer-limits" }, ENGLISH.limits));
    for (const photo of settings.photos) {  // the page was loaded anew; the kernel still has them
      const item = Object.assign(newItem("…"), { id: photo });
      const shown = await kernel.ask({ kind: "show", photo });
      item.name = shown.name;
      finish(item, shown);
    }
  }, (error) => root.append(make("p", { class: "fer-trouble" }, error.message)));
  return () => {
    closeCamera(video);
    for (const item of items) if (item.address) URL.revokeObjectURL(item.address);
    kernel.close();
    forget();
  };
}

export default { render };
