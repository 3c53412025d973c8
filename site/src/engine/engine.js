// What the page calls. All work is done by one worker, so that the page never freezes; it comes from a blob, because
// only then the page's Content-Security-Policy holds for it too.
import files from "virtual:files";
import shared from "virtual:shared";
import { problem } from "./problem.js";
import EngineWorker from "./worker.js?worker&inline";

/** The compressed bytes of a file: from this page itself in the single file, else from its host. */
async function read(name, onBytes = () => {}) {
  const inside = document.getElementById(`fer-${name}`);
  if (inside) return inside.textContent;
  try {
    const response = await fetch(new URL(files[name].file, document.baseURI));
    if (!response.ok) throw new Error(`the server said ${response.status}`);
    const parts = [];
    for (const reader = response.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return asked(await new Blob(parts).arrayBuffer());
      parts.push(value);
      onBytes(value.length);
    }
  } catch (error) {
    throw problem("no-load", `A part of this page (${name}) could not be loaded: ${error.message}. Check the connection `
      + "and reload the page.");
  }
}

/** Some networks answer each address with a page of their own, until one has logged in. */
function asked(data) {
  if (new Uint8Array(data)[0] === 0x3c) throw new Error("a web page came instead");
  return data;
}

/** Start the engine with a network; see site/README.md for what it offers. */
export async function createEngine({ network = "tiny", onProgress = () => {} } = {}) {
  if (!globalThis.WebAssembly || !globalThis.Worker || !globalThis.DecompressionStream || !globalThis.OffscreenCanvas) {
    throw problem("no-webassembly", "This browser cannot run the recognition (it lacks WebAssembly or a part of it). Use "
      + "a current Chrome, Edge, Firefox or Safari.");
  }
  const engine = new Engine(network);
  const names = ["runtime", "yunet", network];
  const total = names.reduce((sum, name) => sum + (files[name]?.bytes ?? 0), 0);
  let loaded = 0;
  await engine.load(names, (bytes) => onProgress({ loaded: Math.min(loaded += bytes, total), total }));
  await engine.start();
  onProgress({ loaded: total, total });
  globalThis.ferEngine = engine; // for the browser's console, the tests and the benchmark
  return engine;
}

class Engine {
  #files = {}; // compressed, kept so that a worker that broke can be replaced without a request
  #waiting = new Map(); // number of a message: [resolve, reject]
  #next = 0;
  #network;
  #worker = null;
  #starting = null;
  #closed = false;

  constructor(network) {
    this.#network = this.#known(network);
    this.networks = Object.entries(shared.networks).filter(([name]) => name in files)
      .map(([name, { title }]) => ({ name, title, bytes: files[name].bytes }));
  }

  #known(name) {
    if (name in shared.networks && name in files) return name;
    throw problem("unknown-network", `There is no network ${name}; there are ${Object.keys(shared.networks).join(", ")}.`);
  }

  async load(names, onBytes) {
    await Promise.all(names.map(async (name) => { this.#files[name] ??= await read(name, onBytes); }));
  }

  /** Start a worker; at most one runs. */
  start() {
    this.#starting ??= (async () => {
      const worker = new EngineWorker();
      this.#worker = worker;
      worker.onmessage = ({ data }) => this.#answer(data);
      worker.onerror = (event) => {
        event.preventDefault?.();
        if (this.#worker === worker) this.#drop("no-start", `The recognition stopped (${event.message || "unknown"}).`);
      };
      const { runtime, yunet, [this.#network]: data } = this.#files;
      await this.#send("start", { runtime, yunet, name: this.#network, data });
    })().catch((error) => {
      this.#drop(error.code, error.message);
      throw error;
    });
    return this.#starting;
  }

  #send(call, values, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, [resolve, reject]);
      this.#worker.postMessage({ id, call, values }, transfer);
    });
  }

  #answer({ id, result, error }) {
    const [resolve, reject] = this.#waiting.get(id) ?? [];
    this.#waiting.delete(id);
    if (!error) return resolve?.(result);
    reject?.(problem(error.code, error.message));
    if (error.fatal) this.#drop(error.code, error.message);
  }

  /** Give a broken worker up; the next call starts another one. */
  #drop(code, message) {
    this.#worker?.terminate();
    this.#worker = this.#starting = null;
    for (const [, reject] of this.#waiting.values()) reject(problem(code, message));
    this.#waiting.clear();
  }

  async #call(call, values, transfer) {
    if (this.#closed) throw problem("closed", "The recognition was closed; reload the page.");
    await this.start();
    return this.#send(call, values, transfer);
  }

  async use(name) {
    this.#known(name);
    await this.load([name], () => {});
    await this.#call("use", { name, data: this.#files[name] });
    this.#network = name;
  }

  photo(blob, { maxPixels } = {}) {
    return this.#call("photo", { blob, maxPixels });
  }

  frame(bitmap, seconds) {
    return this.#call("frame", { bitmap, seconds }, [bitmap]);
  }

  forget() {
    return this.#call("forget");
  }

  close() {
    this.#closed = true;
    this.#drop("closed", "The recognition was closed.");
  }
}
