// The browser's camera: opened, closed, and shown live with boxes and cards of the faces.
import { drawBoxes, keys, make, named, showCards } from "./common.js";
import { fill } from "./words.js";

function cameraTrouble(words, button, error) {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) return words.cameraAddress;
  const sentence = { NotAllowedError: words.cameraRefused, NotFoundError: words.cameraMissing,
    NotReadableError: words.cameraBusy, AbortError: words.cameraStopped }[error?.name] ?? words.cameraFailed;
  return fill(sentence, { button, reason: error?.name ?? error });
}

// Show the camera in a video element. An error says what to do before `button` is pressed again.
export async function openCamera(video, words, button) {
  if (!window.isSecureContext || !navigator.mediaDevices?.getUserMedia) throw new Error(cameraTrouble(words, button));
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({
      audio: false, video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } },
    });
    await video.play();
  } catch (error) {
    closeCamera(video); // if it opened and did not play
    throw new Error(cameraTrouble(words, button, error));
  }
}

export function closeCamera(video) {
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
}

// Draw the video's picture on a canvas, at most `width` pixels wide.
export function grab(video, width, mirror, canvas = make("canvas")) {
  canvas.width = Math.min(video.videoWidth, width);
  canvas.height = Math.round((canvas.width * video.videoHeight) / video.videoWidth);
  const context = canvas.getContext("2d");
  if (mirror) context.setTransform(-1, 0, 0, 1, canvas.width, 0);
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas;
}

export function jpegOf(canvas, quality = 0.85) {
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}

// Return a function that waits until the video shows a picture which it has not waited for yet; half a second at most,
// because a page that is not seen gets none.
function newPictures(video) {
  let fresh = false;
  let wake = () => {};
  const note = () => {
    fresh = true;
    wake();
    video.requestVideoFrameCallback(note);
  };
  if (!video.requestVideoFrameCallback) return () => new Promise((done) => setTimeout(done, document.hidden ? 500 : 16));
  video.requestVideoFrameCallback(note);
  return async () => {
    if (!fresh) {
      await new Promise((done) => {
        wake = done;
        setTimeout(done, 500);
      });
    }
    fresh = false;
  };
}

// Build the live camera into `root`. `look(canvas, say)` answers with the faces of a frame, `capture(canvas)` keeps one;
// where they fail, the error's message is shown. Space and Esc are heard by `listen`; `ended` is called after Stop, not after a
// failure, which the visitor has to read.
export function liveCamera(root, settings, options) {
  const { words } = settings;
  const { look, capture, listen = root, ended = () => {} } = options;
  const button = words.startCamera;
  let mirror = settings.mirror;
  let running = false;
  let lastHeard = 0;
  const video = make("video", { playsinline: true, muted: true, "aria-label": words.cameraSees });
  video.muted = true;
  const newPicture = newPictures(video);
  const boxes = make("div", { class: "fer-boxes", "aria-hidden": "true" });
  const still = make("p", { class: "fer-off" }, words.cameraOff);
  const stage = make("div", { class: "fer-stage" }, video, boxes, still);
  const faces = make("div", { class: "fer-faces" });
  const nobody = make("p", { class: "fer-hint", hidden: true }, words.noFace);
  const heard = make("p", { class: "fer-hidden", role: "status" });  // for who hears the page: not more than it can say
  const status = make("p", { class: "fer-status", role: "status" });
  const rate = make("span", { class: "fer-rate" });
  const start = make("button", { type: "button", class: "fer-main", onclick: begin }, button);
  const take = make("button", { type: "button", class: "fer-main", onclick: keep },
    `${words.capture} `, make("kbd", {}, words.space));
  const stop = make("button", { type: "button", onclick: end }, `${words.stop} `, make("kbd", {}, "Esc"));
  const turn = make("button", { type: "button", "aria-pressed": String(mirror), onclick: flip }, words.mirror);
  root.append(make("div", { class: "fer-live-row" },
    make("div", {}, stage, make("div", { class: "fer-buttons" }, start, take, stop, turn, rate), status, heard),
    make("div", {}, faces, nobody)));
  root.setAttribute("tabindex", "-1");
  const deaf = keys(listen, { " ": () => running && void keep(), Escape: end });
  show();

  async function begin() {
    if (start.disabled || running) return;
    start.disabled = true;
    say(words.cameraStarting);
    try {
      await openCamera(video, words, button);
    } catch (error) {
      return say(error.message, true);
    } finally {
      start.disabled = false;
    }
    if (!root.isConnected) return closeCamera(video);
    video.srcObject.getVideoTracks()[0].addEventListener("ended", () => fail(fill(words.cameraTaken, { button })));
    running = true;
    show();
    say(words.cameraKeys);
    root.focus({ preventScroll: true });
    loop();
  }

  function end() {
    if (!running) return false;
    close();
    say(words.cameraOff);
    start.focus({ preventScroll: true });
    ended();
  }

  function fail(text) {
    close();
    say(text, true);
    start.focus({ preventScroll: true });
  }

  function close() {
    running = false;
    closeCamera(video);
    boxes.replaceChildren();
    faces.replaceChildren();
    nobody.hidden = true;
    rate.textContent = "";
    show();
  }

  function show() {
    start.hidden = running;
    take.hidden = stop.hidden = turn.hidden = !running;
    still.hidden = running;
    stage.classList.toggle("fer-live", running);
    video.classList.toggle("fer-mirror", mirror);
  }

  function announce(found) {
    const text = found.map((face) => named(face, settings, settings.unsure).name).join(", ") || words.noFace;
    if (text === heard.textContent || performance.now() - lastHeard < 4000) return;
    heard.textContent = text;
    lastHeard = performance.now();
  }

  function flip() {
    mirror = !mirror;
    turn.setAttribute("aria-pressed", String(mirror));
    show();
    root.focus({ preventScroll: true });
  }

  function say(text, trouble = false) {
    status.textContent = text;
    status.classList.toggle("fer-trouble", trouble);
  }

  async function loop() {
    const times = [];
    const canvas = make("canvas");
    while (running) {
      const shown = mirror;
      let found;
      try {
        found = await look(grab(video, 640, shown, canvas), (text) => running && say(text));
      } catch (error) {
        if (running) fail(error.message);
        return;
      }
      if (!running) return;
      if (shown === mirror) {
        drawBoxes(boxes, found, canvas.width, canvas.height, settings, settings.unsure);
        showCards(faces, found.slice(0, 4), settings, settings.unsure);
        nobody.hidden = found.length > 0;
        announce(found);
      }
      times.push(performance.now());
      while (times[0] < performance.now() - 2000) times.shift();
      const speed = Math.round((1000 * (times.length - 1)) / (times.at(-1) - times[0]));
      rate.textContent = times.length > 2 ? fill(words.framesPerSecond, { rate: speed }) : "";
      await newPicture();
    }
  }

  async function keep() {
    if (!running) return;
    stage.classList.add("fer-flash");
    setTimeout(() => stage.classList.remove("fer-flash"), 200);
    try {
      await capture(grab(video, settings.captureWidth ?? 640, mirror));
    } catch (error) {
      say(error.message, true);
    }
  }

  return { begin, say, remove: () => { close(); deaf(); } };
}
