// A widget's side of the talk with Python, and the look of the page around it.
import { make } from "./common.js";
import { ENGLISH } from "./words.js";

// Ask the kernel. Each question gets one answer, with the same view and id.
export function connect(model) {
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
export async function greet(kernel, root) {
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
  settings.words = ENGLISH;
  return settings;
}

// Be light or dark like the page around. JupyterLab says which it is; Voilà's page has one colour, so there the system's
// setting decides, for the page too.
export function followTheme(root) {
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
