// Shared by camera.js and photos.js: Python joins it with one of them into one module.

// Make an element. What people type (file names) becomes text in it, never HTML.
function make(tag, attributes = {}, ...children) {
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

const percent = (share) => `${Math.round(share * 100)} %`;
const largest = (shares) => shares.indexOf(Math.max(...shares));

// Ask the kernel. Each question gets one answer, with the same view and id.
function connect(model) {
  const view = Math.random().toString(36).slice(2);
  const waiting = new Map();
  let last = 0;
  const receive = (answer, buffers) => {
    const question = answer.view === view && waiting.get(answer.id);
    if (!question) return;
    if ("of" in answer) return question.progress?.(answer.done, answer.of);
    waiting.delete(answer.id);
    if (answer.error) question.reject(new Error(answer.error));
    else question.resolve({ ...answer, buffers });
  };
  model.on("msg:custom", receive);
  return {
    ask(content, buffers = [], progress = null) {
      return new Promise((resolve, reject) => {
        const id = (last += 1);
        waiting.set(id, { resolve, reject, progress });
        try {
          model.send({ ...content, view, id }, undefined, buffers);
        } catch (error) {
          waiting.delete(id);
          reject(new Error("The kernel cannot be reached: run the cell again, or reload the page."));
        }
      });
    },
    close() {
      model.off("msg:custom", receive);
    },
  };
}

// Greet the kernel. Until it answers, the page says what to do if it does not.
async function greet(kernel, root) {
  const wait = make("p", { class: "fer-wait", role: "status" }, "Waiting for Python…");
  root.append(wait);
  const slow = setTimeout(() => {
    wait.textContent = "Python does not answer yet. In a notebook: run this cell (again), or wait for the cell that " +
      "runs.";
  }, 4000);
  const settings = await kernel.ask({ kind: "hello" });
  clearTimeout(slow);
  wait.remove();
  settings.pictures = settings.buffers.map((png) => URL.createObjectURL(new Blob([png], { type: "image/png" })));
  return settings;
}

// Be light or dark like the page around. JupyterLab says which it is; Voilà's page has one colour, so there the system's
// setting decides, for the page too.
function followTheme(root) {
  const prefers = matchMedia("(prefers-color-scheme: dark)");
  const voila = document.body.dataset.voila !== undefined;
  const apply = () => {
    const light = document.body.dataset.jpThemeLight;
    const dark = voila || light === undefined ? prefers.matches : light === "false";
    root.classList.toggle("fer-dark", dark);
    if (voila) document.body.classList.toggle("fer-page-dark", dark);
  };
  if (voila) document.body.classList.add("fer-page");
  apply();
  prefers.addEventListener("change", apply);
  const observer = new MutationObserver(apply);
  observer.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  return () => {
    prefers.removeEventListener("change", apply);
    observer.disconnect();
  };
}

function named(face, settings, unsure = 0) {
  const index = largest(face.probabilities);
  const confidence = face.probabilities[index];
  const sure = confidence >= unsure;
  return { index, confidence, sure, name: sure ? settings.emotions[index] : "unsure" };
}

function picture(index, settings, sure = true) {
  if (!sure) return make("span", { class: "fer-emoji fer-question", "aria-hidden": "true" }, "?");
  return make("img", { class: "fer-emoji", src: settings.pictures[index], alt: "" });
}

// Draw boxes over a picture, each with its number and name; sizes are in percent of the picture's.
function drawBoxes(layer, faces, width, height, settings, unsure = 0) {
  const crowd = faces.length > 12;  // then numbers alone: the cards say the rest
  layer.replaceChildren(
    ...faces.map((face, i) => {
      const [x, y, w, h] = face.box;
      const { index, sure, name } = named(face, settings, unsure);
      const spelt = faces.length === 1 || w > 0.1 * width;
      const label = make("span", { class: "fer-label" }, crowd ? null : picture(index, settings, sure),
        [faces.length > 1 && i + 1, spelt && name].filter(Boolean).join(" "));
      // No room above: the label goes below the face, and on it only where it fills the picture.
      const place = y >= 0.15 * height ? "" : y + h < 0.85 * height ? " fer-below" : " fer-top";
      const box = make("div", { class: `fer-box${sure ? "" : " fer-unsure"}${place}` }, label);
      box.style.cssText = `left:${(100 * x) / width}%;top:${(100 * y) / height}%;width:${(100 * w) / width}%;` +
        `height:${(100 * h) / height}%;--colour:${sure ? settings.colours[index] : "#8a8a8a"}`;
      if (x + w / 2 > (spelt ? 0.6 : 0.85) * width) box.classList.add("fer-right");
      return box;
    }),
  );
}

// Describe one face in words and bars.
function faceCard(face, number, settings, unsure = 0) {
  const { index, confidence, sure, name } = named(face, settings, unsure);
  const rows = settings.emotions.map((emotion, i) => {
    const bar = make("span", { class: "fer-bar", "aria-hidden": "true" }, make("span"));
    bar.firstChild.style.cssText = `width:${100 * face.probabilities[i]}%;background:${settings.colours[i]}`;
    return make("li", {}, make("span", { class: "fer-emotion" }, emotion), bar,
      make("span", { class: "fer-share" }, percent(face.probabilities[i])));
  });
  const heading = make("p", { class: "fer-name" }, picture(index, settings, sure),
    number ? make("span", { class: "fer-number" }, `${number}`) : null,
    make("strong", { class: "fer-answer" }, name), " ",
    make("span", { class: "fer-share" }, sure ? percent(confidence) : `at most ${percent(confidence)}`));
  return make("div", { class: `fer-face${sure ? "" : " fer-unsure"}` }, heading, make("ul", {}, ...rows));
}

function faceCards(faces, settings, unsure = 0) {
  return faces.map((face, i) => faceCard(face, faces.length > 1 ? i + 1 : 0, settings, unsure));
}

// The browser's camera.
function cameraTrouble(error) {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) {
    return "This page may not use the camera: browsers allow it only on https pages and on localhost. Ask whoever " +
      "runs this server for an https address.";
  }
  return {
    NotAllowedError: "The camera was refused. Allow it for this page (the camera or lock sign beside the address, or " +
      "the system's privacy settings), then press Start again.",
    NotFoundError: "No camera was found. Plug one in, or switch it on, then press Start again.",
    NotReadableError: "The camera is in use by another program. Close that, then press Start again.",
    AbortError: "The camera stopped. Press Start again.",
  }[error?.name] ?? `The camera did not start (${error?.name ?? error}).`;
}

async function openCamera(video) {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new Error(cameraTrouble());
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false, video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
  } catch (error) {
    throw new Error(cameraTrouble(error));
  }
  video.srcObject = stream;
  await video.play();
  return stream;
}

function closeCamera(video) {
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
}

// Return the video's picture as JPEG, at most `width` pixels wide.
async function grab(video, width, mirror) {
  const canvas = make("canvas");
  canvas.width = Math.min(video.videoWidth, width);
  canvas.height = Math.round((canvas.width * video.videoHeight) / video.videoWidth);
  const context = canvas.getContext("2d");
  if (mirror) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const jpeg = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
  return { jpeg, width: canvas.width, height: canvas.height };
}

// Let Space and Esc act on the widget that has the focus. On a button Space presses the button.
function keys(root, actions) {
  root.setAttribute("tabindex", "-1");
  root.dataset.lmSuppressShortcuts = "true";
  root.addEventListener("keydown", (event) => {
    const action = actions[event.key];
    const typing = event.key === " " && event.target.closest("button, input, summary, a, label");
    if (!action || typing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (action() !== false) {
      event.preventDefault();
      event.stopPropagation();
    }
  });
}
