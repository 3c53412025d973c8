// What the camera, the photo app and the page without a server show: faces as boxes and cards. `settings` has the
// emotions' names, colours and pictures, and the words.
import { fill } from "./words.js";

// Make an element. What people type (file names) becomes text in it, never HTML.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  // Without this JupyterLab's command mode takes the keys ("d d" deletes the cell).
  if (["button", "input"].includes(tag) || "tabindex" in attributes) element.dataset.lmSuppressShortcuts = "true";
  element.append(...children.filter((child) => child != null));
  return element;
}

export const percent = (share) => `${Math.round(share * 100)} %`;
export const largest = (shares) => shares.indexOf(Math.max(...shares));

export function named(face, settings, unsure = 0) {
  const index = largest(face.probabilities);
  const confidence = face.probabilities[index];
  const sure = confidence >= unsure;
  return { index, confidence, sure, name: sure ? settings.emotions[index] : settings.words.unsure };
}

// An emotion's picture, or a question mark, as `showPicture` last said.
export function picture(index, settings, sure = true) {
  const emoji = make("span", { class: "fer-emoji", "aria-hidden": "true" }, make("img", { alt: "" }));
  showPicture(emoji, index, settings, sure);
  return emoji;
}

function showPicture(emoji, index, settings, sure) {
  emoji.classList.toggle("fer-question", !sure);
  const image = emoji.firstChild;
  if (image.getAttribute("src") !== settings.pictures[index]) image.src = settings.pictures[index];
}

// What shows faces is changed and not made anew: a live picture does that many times a second.
function haveChildren(element, n, child) {
  while (element.children.length > n) element.lastChild.remove();
  while (element.children.length < n) element.append(child());
  return [...element.children];
}

// Draw boxes over a picture, each with its number and name; sizes are in percent of the picture's.
export function drawBoxes(layer, faces, width, height, settings, unsure = 0) {
  const crowd = faces.length > 12;  // then numbers alone: the cards say the rest
  const boxes = haveChildren(layer, faces.length, () => make("div", {}, make("span", { class: "fer-label" },
    picture(0, settings), make("span"), make("span", { class: "fer-word" }))));
  faces.forEach((face, i) => {
    const [x, y, w, h] = face.box;
    const { index, sure, name } = named(face, settings, unsure);
    const spelt = faces.length === 1 || w > 0.1 * width;
    const [emoji, number, word] = boxes[i].firstChild.children;
    emoji.hidden = crowd;
    showPicture(emoji, index, settings, sure);
    number.hidden = faces.length === 1;
    number.textContent = `${i + 1}`;
    word.hidden = !spelt;
    word.textContent = name;
    // No room above: the label goes below the face, and on it only where it fills the picture.
    const place = y >= 0.15 * height ? "" : y + h < 0.85 * height ? " fer-below" : " fer-top";
    const right = x + w / 2 > (spelt ? 0.6 : 0.85) * width ? " fer-right" : "";
    boxes[i].className = `fer-box${faces.length > 1 ? " fer-one-of-many" : ""}${sure ? "" : " fer-unsure"}${place}${right}`;
    boxes[i].style.cssText = `left:${(100 * x) / width}%;top:${(100 * y) / height}%;width:${(100 * w) / width}%;` +
      `height:${(100 * h) / height}%;z-index:${faces.length - i};--colour:${sure ? settings.colours[index] : "#8a8a8a"}`;
  });
}

// The seven probabilities as a list with bars.
export function barList(settings) {
  return make("ul", { class: "fer-bars" }, ...settings.emotions.map((emotion, i) => {
    const bar = make("span", { class: "fer-bar", "aria-hidden": "true" }, make("span"));
    bar.firstChild.style.background = settings.colours[i];
    return make("li", {}, make("span", { class: "fer-emotion" }, emotion), bar, make("span", { class: "fer-share" }));
  }));
}

export function showBars(list, probabilities) {
  probabilities.forEach((share, i) => {
    const [, bar, text] = list.children[i].children;
    bar.firstChild.style.width = `${100 * share}%`;
    text.textContent = percent(share);
  });
}

// Describe faces in words and bars.
export function showCards(element, faces, settings, unsure = 0) {
  const cards = haveChildren(element, faces.length, () => make("div", {},
    make("p", { class: "fer-name" }, picture(0, settings), make("span", { class: "fer-number" }),
      make("strong", { class: "fer-answer" }), " ", make("span", { class: "fer-share" })), barList(settings)));
  faces.forEach((face, i) => {
    const { index, confidence, sure, name } = named(face, settings, unsure);
    const [emoji, number, answer, share] = cards[i].firstChild.children;
    showPicture(emoji, index, settings, sure);
    number.hidden = faces.length === 1;
    number.textContent = `${i + 1}`;
    answer.textContent = name;
    share.textContent = sure ? percent(confidence) : fill(settings.words.atMost, { share: percent(confidence) });
    cards[i].className = `fer-face${sure ? "" : " fer-unsure"}`;
    showBars(cards[i].lastChild, face.probabilities);
  });
}

// Offer bytes as a file.
export function saveFile(parts, name, type) {
  const address = URL.createObjectURL(new Blob(parts, { type }));
  const link = make("a", { href: address, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

// Let files be dropped anywhere on an element; it has the class fer-over while they hover.
export function dropZone(element, take) {
  let over = 0;
  const dragging = (change) => (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    over = Math.max(over + change, 0);
    element.classList.toggle("fer-over", over > 0);
  };
  element.addEventListener("dragenter", dragging(1));
  element.addEventListener("dragover", dragging(0));
  element.addEventListener("dragleave", dragging(-1));
  element.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    over = 0;
    element.classList.remove("fer-over");
    take([...event.dataTransfer.files]);
  });
}

// A line of trouble that can be dismissed.
export function noticeOf(text, dismiss) {
  return make("p", { class: "fer-trouble" }, text, make("button", { type: "button", class: "fer-remove",
    "aria-label": dismiss, onclick: (event) => event.currentTarget.parentNode.remove() }, "✕"));
}

// Let Space and Esc act on the element that has the focus. On a button Space presses the button. Returns what ends that.
export function keys(element, actions) {
  let held = false;  // a key that is held acts once, and does not scroll the page then
  const press = (event) => {
    const action = actions[event.key];
    const typing = event.key === " " && event.target.closest("button, input, select, summary, a, label");
    if (!action || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!event.repeat) held = action() !== false;
    if (held) {
      event.preventDefault();
      event.stopPropagation();
    }
  };
  element.addEventListener("keydown", press);
  return () => element.removeEventListener("keydown", press);
}
