// Lets the page open without a connection: it keeps the page's own files, of one version, and asks for nothing else.
// The build fills in the version and the files.
const HERE = self.registration.scope; // a host may have several pages of this kind, each with its own store
const CACHE = `fer-page-__VERSION__ ${HERE}`;
const FILES = ["./", "./manifest.webmanifest", "./icon-192.png", "./licences.txt", ...__FILES__.filter((file) => file !== "index.html")];

self.addEventListener("install", (event) => {
  // "reload": not what the browser kept of an earlier version.
  const requests = FILES.map((file) => new Request(file, { cache: file.startsWith("assets/") ? "default" : "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const forget = (names) => Promise.all(names.filter((name) => name.startsWith("fer-page-") && name.endsWith(` ${HERE}`) && name !== CACHE)
    .map((name) => caches.delete(name)));
  event.waitUntil(caches.keys().then(forget).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  if (event.request.method !== "GET" || !address.href.startsWith(HERE)) return;
  event.respondWith(answer(event, address));
});

async function answer(event, address) {
  const home = [HERE, `${HERE}index.html`].includes(address.origin + address.pathname);
  const cache = await caches.open(CACHE).catch(() => null); // a browser may refuse or empty the store: then from the host
  const kept = await cache?.match(home ? HERE : event.request, { ignoreVary: true }).catch(() => null);
  if (kept) return kept;
  const fresh = await fetch(event.request);
  // The larger network comes when it is chosen, and is kept from then on; a login page that came instead is not.
  const page = fresh.headers.get("content-type")?.startsWith("text/html");
  if (cache && fresh.ok && !page && address.pathname.includes("/assets/")) {
    event.waitUntil(cache.put(event.request, fresh.clone()).catch(() => {})); // no room: fetched again the next time
  }
  return fresh;
}
