import { createEngine } from "./engine/engine.js";

const engine = await createEngine({});
document.querySelector("#photo").addEventListener("change", async (event) => {
  const seen = await engine.photo(event.target.files[0]).catch((error) => error.message);
  document.querySelector("#seen").textContent = JSON.stringify(seen, null, 1);
});
