// The live camera: frames go to the kernel one at a time, its answers are drawn over the video.

function render({ model, el }) {
  const root = make("section", { class: "fer fer-camera", "aria-label": "Camera" });
  el.append(root);
  const kernel = connect(model);
  const forget = followTheme(root);
  let settings = null;
  let mirror = true;
  let running = false;

  const video = make("video", { playsinline: true, muted: true, "aria-label": "What the camera sees" });
  video.muted = true;
  const boxes = make("div", { class: "fer-boxes", "aria-hidden": "true" });
  const still = make("p", { class: "fer-off" }, "The camera is off.");
  const stage = make("div", { class: "fer-stage" }, video, boxes, still);
  const faces = make("div", { class: "fer-faces" });
  const status = make("p", { class: "fer-status", role: "status" });
  const rate = make("span", { class: "fer-rate" });
  const captures = make("div", { class: "fer-captures", "aria-live": "polite" });
  const start = make("button", { type: "button", class: "fer-main", onclick: begin }, "Start camera");
  const take = make("button", { type: "button", class: "fer-main", onclick: capture, hidden: true },
    "Capture ", make("kbd", {}, "Space"));
  const stop = make("button", { type: "button", onclick: end, hidden: true }, "Stop ", make("kbd", {}, "Esc"));
  const turn = make("button", { type: "button", "aria-pressed": "true", hidden: true, onclick: flip }, "Mirror");

  async function begin() {
    start.disabled = true;
    say("Starting the camera: the browser may ask you to allow it.");
    try {
      await openCamera(video);
    } catch (error) {
      start.disabled = false;
      return say(error.message, true);
    }
    start.disabled = false;
    if (!root.isConnected) return closeCamera(video);
    video.srcObject.getVideoTracks()[0].addEventListener("ended", () => {
      end();
      say("The camera stopped: it was unplugged or taken away. Press Start camera to try again.", true);
    });
    running = true;
    show();
    say("Space captures, Esc stops.");
    root.focus({ preventScroll: true });
    loop();
  }

  function end() {
    if (!running) return false;
    running = false;
    closeCamera(video);
    boxes.replaceChildren();
    faces.replaceChildren();
    rate.textContent = "";
    show();
    say("The camera is off.");
    start.focus({ preventScroll: true });
  }

  function show() {
    start.hidden = running;
    take.hidden = stop.hidden = turn.hidden = !running;
    still.hidden = running;
    stage.classList.toggle("fer-live", running);
    video.classList.toggle("fer-mirror", mirror);
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
    while (running) {
      const shown = mirror;
      const frame = await grab(video, 640, shown);
      const late = setTimeout(() => running && say("Python is busy: the picture goes on when it answers."), 3000);
      let answer;
      try {
        answer = await kernel.ask({ kind: "frame" }, [await frame.jpeg.arrayBuffer()]);
      } catch (error) {
        end();
        return say(error.message, true);
      } finally {
        clearTimeout(late);
      }
      if (!running) return;
      if (status.textContent.startsWith("Python is busy")) say("Space captures, Esc stops.");
      if (shown === mirror) {
        drawBoxes(boxes, answer.faces, frame.width, frame.height, settings);
        faces.replaceChildren(...faceCards(answer.faces, settings).slice(0, 4));
        if (!answer.faces.length) faces.append(make("p", { class: "fer-hint" }, "No face in the picture."));
      }
      times.push(performance.now());
      while (times[0] < performance.now() - 2000) times.shift();
      rate.textContent = times.length > 2
        ? `${Math.round((1000 * (times.length - 1)) / (times.at(-1) - times[0]))} frames/s` : "";
      await new Promise((next) => setTimeout(next, document.hidden ? 500 : 0));
    }
  }

  async function capture() {
    if (!running) return false;
    const frame = await grab(video, 640, mirror);
    stage.classList.add("fer-flash");
    setTimeout(() => stage.classList.remove("fer-flash"), 200);
    let answer;
    try {
      answer = await kernel.ask({ kind: "capture" }, [await frame.jpeg.arrayBuffer()]);
    } catch (error) {
      return say(error.message, true);
    }
    const address = URL.createObjectURL(frame.jpeg);
    const image = make("img", { src: address, alt: "The captured picture", onload: () => URL.revokeObjectURL(address) });
    const layer = make("div", { class: "fer-boxes", "aria-hidden": "true" });
    drawBoxes(layer, answer.faces, frame.width, frame.height, settings);
    const cards = faceCards(answer.faces, settings);
    const nothing = make("p", { class: "fer-hint" }, "No face was found in this picture.");
    captures.prepend(make("figure", { class: "fer-photo fer-capture" },
      make("div", { class: "fer-picture" }, image, layer),
      make("figcaption", {}, make("p", { class: "fer-file" }, `Captured at ${new Date().toLocaleTimeString()}`),
        make("div", { class: "fer-faces" }, ...(cards.length ? cards : [nothing])))));
    while (captures.children.length > 6) captures.lastChild.remove();
  }

  keys(root, { " ": () => running && void capture(), Escape: end });
  greet(kernel, root).then((answer) => {
    settings = answer;
    mirror = settings.mirror;
    turn.setAttribute("aria-pressed", String(mirror));
    root.append(make("div", { class: "fer-live-row" }, stage, faces),
      make("div", { class: "fer-buttons" }, start, take, stop, turn, rate), status, captures);
    say("Pictures go to this notebook's Python and nowhere else; captures stay in its memory.");
    show();
  }, (error) => root.append(make("p", { class: "fer-trouble" }, error.message)));
  return () => {
    running = false;
    closeCamera(video);
    kernel.close();
    forget();
  };
}

export default { render };
