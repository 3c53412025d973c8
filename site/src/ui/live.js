// The camera: frames go to the worker one at a time; what Space captures becomes a photo among the others.
import { make } from "../../../fer_utils/live/static/common.js";
import { jpegOf, liveCamera } from "../../../fer_utils/live/static/webcam.js";

export function livePart(app, photos, { closed }) {
  const { words, word } = app;
  const element = make("section", { class: "fer-camera page-live", "aria-label": words.camera, hidden: true });
  let live = null;

  async function look(canvas) {
    try {
      const engine = await app.engineReady;
      return await engine.frame(await createImageBitmap(canvas), performance.now() / 1000);
    } catch (error) {
      throw new Error(word(words[`error.${error.code}`] ? `error.${error.code}` : "error.failed", { reason: error.message }));
    }
  }

  async function capture(canvas) {
    const jpeg = await jpegOf(canvas, 0.92);
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
    photos.add([new File([jpeg], word("cameraFile", { time }), { type: "image/jpeg" })]);
    live.say(words.captured);
  }

  // A camera that was refused leaves its sentence; Esc closes that too.
  const filming = () => Boolean(element.querySelector("video")?.srcObject);
  const escape = (event) => { if (event.key === "Escape" && !element.hidden && !filming()) close(); };
  document.addEventListener("keydown", escape);

  function close() {
    show(false);
    app.engine?.forget().catch(() => {});
    closed();
  }

  function show(open) {
    element.hidden = !open;
    app.root.classList.toggle("page-filming", open);
  }

  async function open() {
    live ??= liveCamera(element, app.look, { look, capture, listen: document, ended: close });
    show(true);
    await live.begin();
    if (!filming() && document.activeElement === document.body) element.querySelector("button:not([hidden])").focus();
    element.scrollIntoView({ block: "nearest" });
  }

  return { element, open, remove: () => { document.removeEventListener("keydown", escape); live?.remove(); show(false); } };
}
