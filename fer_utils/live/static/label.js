// Labelling in a notebook: one face at a time, by keys or buttons.
import { keys, make, picture } from "./common.js";
import { connect, followTheme, greet } from "./kernel.js";

const MORE = [["skip", "Skip", "Space"], ["not a face", "Not a face", "9"]];

function render({ model, el }) {
  const root = make("section", { class: "fer fer-asking", tabindex: "0", "aria-label":
    "Label faces. Keys 1 to 7 are the emotions, Space skips, 9 is not a face, u takes back, Escape finishes." });
  el.append(root);
  const kernel = connect(model);
  const forget = followTheme(root);
  let settings = null;
  let current = null;
  let busy = false;
  let addresses = [];

  // What is on the page.
  const count = make("span", { class: "fer-file" });
  const bar = make("progress", { max: "1", value: "0", "aria-label": "Faces that are decided" });
  const who = make("span", { class: "fer-hint" });
  const face = make("img", { class: "fer-asked", alt: "" });
  const photo = make("img", { class: "fer-beside", alt: "" });
  const missing = make("p", { class: "fer-hint" }, "The photo is not there to be shown.");
  const pictures = make("div", { class: "fer-pictures" }, face, photo, missing);
  const ended = make("p", { class: "fer-lead", hidden: true }, "All faces are decided.");
  const remark = make("p", { class: "fer-status", role: "status" });
  const trouble = make("p", { class: "fer-trouble", role: "alert", hidden: true });
  const emotions = make("div", { class: "fer-buttons fer-labels", role: "group", "aria-label": "Emotions" });
  const others = make("div", { class: "fer-buttons", role: "group", "aria-label": "Other answers" });
  const summary = make("div", { class: "fer-summary", role: "status", hidden: true });
  let deaf = () => {};

  function button(text, key, shortcuts, action, image = null) {
    return make("button", { type: "button", "aria-keyshortcuts": shortcuts, onclick: action }, image, ` ${text} `,
      make("kbd", {}, key));
  }

  function build() {
    settings.emotions.forEach((name, i) => emotions.append(
      button(name, `${i + 1}`, `${i + 1}`, () => decide(name), picture(i, settings))));
    for (const [label, text, key] of MORE) others.append(button(text, key, key, () => decide(label)));
    others.append(button("Undo", "u", "u Backspace", undo), button("Finish", "Esc", "Escape", finish));
    who.textContent = `Annotator: ${settings.annotator}`;
    root.append(make("div", { class: "fer-head" }, count, bar, who), pictures, ended, remark, emotions, others, trouble,
      summary);
    const actions = { " ": () => decide("skip"), 8: () => decide("skip"), 9: () => decide("not a face"),
      n: () => decide("not a face"), u: undo, Backspace: undo, Escape: finish };
    settings.emotions.forEach((name, i) => { actions[i + 1] = () => decide(name); });
    deaf = keys(root, actions);
  }

  // Ask the kernel, one thing at a time: a second key is not meant for a face that is not seen yet.
  async function ask(content, show) {
    if (busy) return;
    busy = true;
    const late = setTimeout(() => say("Python is busy: it answers when its cell is done."), 3000);
    try {
      show(await kernel.ask(content));
      trouble.hidden = true;
    } catch (error) {
      trouble.textContent = error.message;
      trouble.hidden = false;
    } finally {
      clearTimeout(late);
      busy = false;
    }
  }

  const decide = (label) => void (current && ask({ kind: "decide", face: current, label }, show));
  const undo = () => void ask({ kind: "undo" }, show);
  const finish = () => void ask({ kind: "finish" }, (answer) => {
    summary.textContent = answer.summary;
    summary.hidden = false;
    say("");
  });

  function say(text) {
    remark.textContent = text;
  }

  function show(answer) {
    current = answer.face;
    addresses.forEach((address) => URL.revokeObjectURL(address));
    addresses = answer.buffers.map((jpeg) => URL.createObjectURL(new Blob([jpeg], { type: "image/jpeg" })));
    count.textContent = `${answer.done} of ${answer.total} faces`;
    bar.value = answer.total ? answer.done / answer.total : 1;
    bar.setAttribute("aria-valuetext", count.textContent);
    pictures.hidden = current === null;
    ended.hidden = current !== null;
    summary.hidden = true;
    if (current !== null) {
      face.src = addresses[0];
      face.alt = `Face ${answer.done + 1} of ${answer.total}, as the network sees it`;
    }
    photo.hidden = addresses.length < 2;
    missing.hidden = !photo.hidden || !answer.of_photo;
    if (!photo.hidden) {
      photo.src = addresses[1];
      photo.alt = "The photo, with a box around the face";
    }
    // Not "disabled": such a button loses the focus, and the widget its keys.
    for (const each of [...emotions.children, ...others.children].slice(0, -2)) each.ariaDisabled = `${current === null}`;
    say(`${answer.remark}${answer.remark && current === null ? " " : ""}${current === null ? "Press Finish." : ""}`);
  }

  greet(kernel, root).then((answer) => {
    settings = answer;
    build();
    ask({ kind: "show" }, show);
  }, (error) => root.append(make("p", { class: "fer-trouble" }, error.message)));
  return () => {
    deaf();
    addresses.forEach((address) => URL.revokeObjectURL(address));
    kernel.close();
    forget();
  };
}

export default { render };
