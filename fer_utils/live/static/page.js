// The photo app's page, when all of it has come. Voilà's script calls this when its colours are there too.
window.voila_finish = () => {
  document.getElementById("loading")?.remove();
  document.getElementById("rendered_cells").style.display = "";
};
window.cellLoaded = true;

// A page that nobody has used for long loses its kernel, and with it its photos. Then say so.
const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
const watch = setInterval(async () => {
  const answer = await fetch(`${config.baseUrl}api/kernels/${config.kernelId}`).catch(() => null);
  if (answer?.status !== 404) return;
  clearInterval(watch);
  const note = document.createElement("p");
  note.className = "fer-ended";
  note.setAttribute("role", "alert");
  note.textContent = "This page has ended: it was not used for a while. Its photos are gone from memory. " +
    "Reload the page to begin anew.";
  document.body.prepend(note);
}, 15000);
