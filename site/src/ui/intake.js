// Where photos come in, the state of the network, and the settings: network and unsure slider.
import { make, noticeOf, percent } from "../../../fer_utils/live/static/common.js";
import { EXAMPLES } from "../pictures.js";

export function intakePart(app, photos, { openCamera }) {
  const { words, word } = app;
  const limits = { photos: app.shared.photos.max_photos, pixels: Math.round(app.shared.photos.max_pixels / 1e6) };

  const megabytes = new Intl.NumberFormat(app.language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const input = make("input", { type: "file", multiple: true, accept: "image/*", class: "fer-hidden", tabindex: "-1",
    "aria-hidden": "true", onchange: () => { photos.add([...input.files]); input.value = ""; } });
  const hint = make("p", { class: "fer-hint", id: "formats" }, word("formats", limits));
  const choose = make("button", { type: "button", class: "fer-main", "aria-describedby": hint.id, onclick: () => input.click() },
    words.choosePhotos);
  const camera = make("button", { type: "button", class: "page-start", onclick: openCamera }, words.startCamera);
  const examples = EXAMPLES.map(({ address, faces }, i) => make("button", { type: "button", class: "page-example",
    "aria-label": app.count("exampleButton", faces), onclick: () => photos.addExample(address, word("exampleName", { n: i + 1 })) },
  make("img", { src: address, alt: "" })));
  const lead = make("p", { class: "fer-lead" }, words.dropHere);
  const element = make("section", { class: "page-intake", "aria-label": words.choosePhotos });
  const trouble = make("div", { class: "fer-notices", role: "alert" });
  const state = make("p", { class: "fer-hint page-state", role: "status" });
  const bar = make("progress", { max: "1", value: "0", "aria-label": words.network });
  element.append(make("div", { class: "fer-drop" }, lead, input, make("div", { class: "fer-buttons" }, choose, camera), hint,
    make("div", { class: "page-examples" }, make("span", { class: "fer-hint" }, words.examples), ...examples)),
  trouble, make("p", { class: "fer-hint fer-privacy" }, words.privacy), make("div", { class: "page-loading" }, state, bar));

  // The settings.
  const level = make("output", { for: "unsure", "aria-live": "off" }); // the slider says it itself
  const slider = make("input", { type: "range", id: "unsure", min: "15", max: "95", step: "1", value: Math.round(100 * app.unsure),
    oninput: () => { app.unsure = slider.value / 100; showLevel(); photos.changed(); } });
  const networks = make("fieldset", { class: "page-networks" }, make("legend", {}, words.network));
  const settings = make("div", { class: "page-settings" }, networks,
    make("div", { class: "fer-slider" }, make("label", { for: "unsure" }, `${words.unsureBelow} `, level), slider));

  function showLevel() {
    slider.setAttribute("aria-valuetext", percent(app.unsure));
    level.textContent = percent(app.unsure);
  }

  function sentenceOf(error) {
    return words[error.code === "failed" ? "error.no-start" : `error.${error.code}`] ?? words["error.no-start"];
  }

  function showLoading() {
    const done = Boolean(app.engine) || Boolean(app.trouble);
    const loaded = app.loaded ?? 0;
    bar.hidden = done;
    if (loaded < 1) bar.value = loaded;
    else bar.removeAttribute("value"); // for so long as it starts, nobody knows how much is done
    if (done) state.textContent = "";
    else state.textContent = loaded < 1 ? word("loading", { share: percent(loaded) }) : words.starting;
    if (app.trouble && !trouble.querySelector(".page-broken")) {
      trouble.append(make("p", { class: "fer-trouble page-broken" }, sentenceOf(app.trouble)));
    }
  }

  function showNetworks() {
    const known = app.engine?.networks ?? [];
    networks.hidden = known.length < 2;
    networks.replaceChildren(networks.firstChild, ...known.map(({ name, bytes }) => {
      const { accuracy } = app.shared.networks[name];
      const radio = make("input", { type: "radio", name: "network", value: name, checked: name === app.network,
        onchange: () => app.useNetwork(name) });
      return make("label", {}, radio, make("span", {}, make("strong", {}, titleOf(name)), make("span", { class: "fer-hint" },
        word("networkFacts", { megabytes: megabytes.format(bytes / 1e6), accuracy: percent(accuracy) }))));
    }));
    if (app.changing) showChange();
  }

  const titleOf = (name) => (name === "tiny" ? words.networkTiny : words.networkFull);

  /** While another network comes, which can take long, none can be chosen; also after the language was changed. */
  function showChange(failed) {
    networks.disabled = Boolean(app.changing);
    if (app.changing) return say(words.networkChanging);
    for (const radio of networks.querySelectorAll("input")) radio.checked = radio.value === app.network;
    if (document.activeElement === document.body) networks.querySelector("input:checked").focus({ preventScroll: true });
    say(failed ? "" : word("networkChanged", { name: titleOf(app.network) }));
    if (failed) notice(sentenceOf(failed));
  }

  function say(text) {
    state.textContent = text;
  }

  function notice(text) {
    for (const old of trouble.children) if (old.firstChild.textContent === text) old.remove(); // once is enough
    trouble.append(noticeOf(text, words.dismiss));
  }

  function update() {
    element.classList.toggle("fer-filled", photos.items.length > 0);
    if (photos.items.length && state.textContent === words.cleared) say("");
    for (const { key, n } of photos.notices.splice(0)) notice(app.count(key, n).replace("{limit}", limits.photos));
  }

  showLevel();
  return { element, settings, showLoading, showNetworks, showChange, notice, update, say, focusChoose: () => choose.focus(),
    focusCamera: () => camera.focus() };
}
