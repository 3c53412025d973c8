// Lets the page open without a connection: it keeps the page's own files, of one version, and asks for nothing else.
// The build fills in the version and the files.
const CACHE = "fer-page-__VERSION__";
const FILES = ["./", "./manifest.webmanifest", "./icon-192.png", ...__FILES__.filter((file) => file !== "index.html")];

self.addEventListener("install", (event) => {
  // "reload": not what the browser kept of an earlier version.
  const requests = FILES.map((file) => new Request(file, { cache: file.startsWith("assets/") ? "default" : "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const forget = (names) => Promise.all(names.filter((name) => name.startsWith("fer-page-") && name !== CACHE)
    .map((name) => caches.delete(name)));
  event.waitUntil(caches.keys().then(forget).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || !address.href.startsWith(self.registration.scope)) return;
  event.respondWith(caches.open(CACHE).then(async (cache) => {
    const home = [self.registration.scope, `${self.registration.scope}index.html`].includes(address.origin + address.pathname);
    const kept = await cache.match(home ? self.registration.scope : event.request, { ignoreVary: true });
    if (kept) return kept;
    const answer = await fetch(event.request);
    // The larger network comes when it is chosen, and is kept from then on.
    if (answer.ok && address.pathname.includes("/assets/")) await cache.put(event.request, answer.clone());
    return answer;
  }));
});
