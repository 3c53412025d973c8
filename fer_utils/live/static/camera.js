// The live camera of a notebook: frames go to the kernel one at a time, its answers are drawn over the video.
import { drawBoxes, make, showCards } from "./common.js";
import { connect, followTheme, greet } from "./kernel.js";
import { jpegOf, liveCamera } from "./webcam.js";
import { ENGLISH } from "./words.js";

function render({ model, el }) {
  const root = make("section", { class: "fer fer-camera", "aria-label": ENGLISH.camera });
  el.append(root);
  const kernel = connect(model);
  const forget = followTheme(root);
  const captures = make("div", { class: "fer-captures", "aria-live": "polite" });
  let settings = null;
  let live = null;

  const bytesOf = async (canvas) => [await (await jpegOf(canvas)).arrayBuffer()];

  async function look(canvas, say) {
    let busy = false;
    const late = setTimeout(() => {
      busy = true;
      say("Python is busy: the picture goes on when it answers.");
    }, 3000);
    try {
      return (await kernel.ask({ kind: "frame" }, await bytesOf(canvas))).faces;
    } finally {
      clearTimeout(late);
      if (busy) say(ENGLISH.cameraKeys);
    }
  }

  async function capture(canvas) {
    const jpeg = await jpegOf(canvas);
    const answer = await kernel.ask({ kind: "capture" }, [await jpeg.arrayBuffer()]);
    const address = URL.createObjectURL(jpeg);
    const image = make("img", { src: address, alt: "The captured picture", onload: () => URL.revokeObjectURL(address) });
    const layer = make("div", { class: "fer-boxes", "aria-hidden": "true" });
    drawBoxes(layer, answer.faces, canvas.width, canvas.height, settings);
    const cards = make("div", { class: "fer-faces" });
    if (answer.faces.length) showCards(cards, answer.faces, settings);
    else cards.append(make("p", { class: "fer-hint" }, "No face was found in this picture."));
    captures.prepend(make("figure", { class: "fer-photo fer-capture" },
      make("div", { class: "fer-picture" }, image, layer),
      make("figcaption", {}, make("p", { class: "fer-file" }, `Captured at ${new Date().toLocaleTimeString()}`),
        cards)));
    while (captures.children.length > 6) captures.lastChild.remove();
  }

  greet(kernel, root).then((answer) => {
    settings = answer;
    live = liveCamera(root, settings, { look, capture });
    root.append(captures);
    live.say("Pictures go to this notebook's Python and nowhere else; captures stay in its memory.");
  }, (error) => root.append(make("p", { class: "fer-trouble" }, error.message)));
  return () => {
    live?.remove();
    kernel.close();
    forget();
  };
}

export default { render };
