// Two outputs from one source: `vite build` makes a folder for a static host, `vite build --mode file` one HTML file.
// `python -m fer_utils site` runs both; it first writes shared.json and the networks into the folder FER_PAGE_INPUT.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig } from "vite";

const HERE = import.meta.dirname;
const INPUT = resolve(process.env.FER_PAGE_INPUT || join(HERE, "../build/page"));
const RUNTIME = join(HERE, "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm");
const LATER = ["full"]; // fetched only when a visitor chooses it, and not in the single file

const hash = (data, form = "hex") => createHash("sha256").update(data).digest(form);

/** The runtime and the networks, compressed: name -> {file, bytes, data}. */
function packed(single) {
  const names = { runtime: RUNTIME };
  for (const name of ["yunet", "tiny", "full"]) names[name] = join(INPUT, `${name}.onnx`);
  const files = {};
  for (const [name, path] of Object.entries(names)) {
    if (single && LATER.includes(name)) continue;
    const data = gzipSync(readFileSync(path), { level: 9 });
    // Not .gz: some servers would send that as another encoding of the file.
    files[name] = { file: `assets/${name}-${hash(data).slice(0, 8)}.bin`, bytes: data.length, data };
  }
  return files;
}

/** The rules that browsers keep for the page and its workers: no address but its own, in the single file none at all. */
function policy(single, html) {
  const inline = (tag) => [...html.matchAll(new RegExp(`<${tag}(?![^>]*(?: src=|type="text/plain"))[^>]*>([^]*?)</${tag}>`, "g"))]
    .map((match) => `'sha256-${hash(match[1], "base64")}'`).join(" ");
  const own = single ? "" : "'self' ";
  return [
    "default-src 'none'",
    `script-src ${own}${inline("script")} 'wasm-unsafe-eval'`,
    `style-src ${own}${inline("style")}`,
    `img-src ${own}blob: data:`,
    "media-src blob:",
    `worker-src ${own}blob:`,
    `connect-src ${single ? "'none'" : "'self'"}`,
    ...(single ? [] : ["manifest-src 'self'"]),
    "base-uri 'none'",
    "form-action 'none'",
  ].map((rule) => rule.replace(/ +/g, " ").trim()).join("; ");
}

function withPolicy(html, single) {
  const meta = `<meta http-equiv="Content-Security-Policy" content="${policy(single, html)}">`;
  return html.replace(/<head>/, `<head>\n${meta}`);
}

/** `virtual:shared` is what Python wrote; `virtual:files` says where the runtime and the networks are. */
function virtualModules(files) {
  const sources = {
    "virtual:shared": () => `export default ${readFileSync(join(INPUT, "shared.json"), "utf-8")}`,
    "virtual:files": () => `export default ${JSON.stringify(
      Object.fromEntries(Object.entries(files).map(([name, { file, bytes }]) => [name, { file, bytes }])))}`,
  };
  return {
    name: "fer-virtual",
    resolveId: (id) => (id in sources ? `\0${id}` : null),
    load: (id) => (id.startsWith("\0virtual:") ? sources[id.slice(1)]?.() ?? null : null),
  };
}

/** ONNX Runtime gets its WebAssembly from us; without this the bundler would add that file once more. */
const oneRuntime = {
  name: "fer-one-runtime",
  enforce: "pre",
  transform: (code, id) => (id.includes("onnxruntime-web")
    ? code.replace(/new URL\("[^"]*\.wasm",\s*import\.meta\.url\)\.href/g, '""') : null),
};

function licences() {
  const parts = [["ONNX Runtime Web", "licences/onnxruntime.txt"], ["YuNet", "licences/yunet.txt"], ["fflate", "licences/fflate.txt"]];
  const texts = parts.map(([name, path]) => `${name}\n\n${readFileSync(join(HERE, path), "utf-8").trim()}\n`);
  texts.push("ONNX Runtime contains other libraries, listed with their licences in the file ThirdPartyNotices.txt of "
    + "github.com/microsoft/onnxruntime.\n");
  return [`This page and its networks\n\n${readFileSync(join(HERE, "../LICENSE"), "utf-8").trim()}\n`, ...texts]
    .join(`\n${"-".repeat(80)}\n\n`);
}

/** Writes the folder: the compressed files, the licences, and sw.js with the list of what works offline. */
function folder(files) {
  return {
    name: "fer-folder",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const found = Object.values(files).find(({ file }) => request.url.endsWith(file));
        return found ? response.end(found.data) : next();
      });
    },
    transformIndexHtml: { order: "post", handler: (html, context) => (context.server ? html : withPolicy(html, false)) },
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        for (const { file, data } of Object.values(files)) this.emitFile({ type: "asset", fileName: file, source: data });
        this.emitFile({ type: "asset", fileName: "licences.txt", source: licences() });
        const worker = join(HERE, "sw.js");
        if (!existsSync(worker)) return;
        const start = [...Object.keys(bundle), ...Object.entries(files).filter(([name]) => !LATER.includes(name))
          .map(([, { file }]) => file)].filter((file) => file !== "sw.js").sort();
        const copied = readdirSync(join(HERE, "public")).sort().map((file) => readFileSync(join(HERE, "public", file)));
        const all = [...Object.values(bundle).map((part) => part.code ?? part.source), ...copied, licences()];
        const version = hash(JSON.stringify([all.map((part) => hash(part)), start])).slice(0, 8);
        const source = readFileSync(worker, "utf-8").replaceAll("__FILES__", JSON.stringify(start))
          .replaceAll("__VERSION__", version);
        this.emitFile({ type: "asset", fileName: "sw.js", source });
      },
    },
  };
}

/** Writes one HTML file: scripts, styles and pictures within it, the runtime and the networks as text. */
function singleFile(files) {
  return {
    name: "fer-single-file",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_, bundle) {
        const page = Object.values(bundle).find((part) => part.fileName.endsWith(".html"));
        let html = String(page.source).replace(/<link rel="(?:manifest|modulepreload|apple-touch-icon)"[^>]*>\s*/g, "")
          .replace(/ <span>.*?fer\.html<\/a>.*?<\/span>/g, ""); // it is that file
        for (const part of Object.values(bundle)) {
          const name = part.fileName.replace(/[.]/g, "\\.");
          if (part.type === "chunk") {
            const code = part.code.replaceAll("</script", "<\\/script").replaceAll("<!--", "\\x3C!--");
            html = html.replace(new RegExp(`<script[^>]*src="[./]*${name}"[^>]*></script>\\s*`), "");
            html = html.replace("</body>", () => `<script type="module">${code}</script>\n</body>`);
          } else if (part.fileName.endsWith(".css")) {
            html = html.replace(new RegExp(`<link[^>]*href="[./]*${name}"[^>]*>`), () => `<style>${part.source}</style>`);
          } else if (part.fileName.endsWith(".png")) { // the icon
            const data = Buffer.from(part.source).toString("base64");
            html = html.replace(new RegExp(`href="[./]*${name}"`), `href="data:image/png;base64,${data}"`);
          }
          delete bundle[part.fileName];
        }
        const data = Object.entries(files).map(([name, { data }]) =>
          `<script type="text/plain" id="fer-${name}">${data.toString("base64")}</script>`);
        data.push(`<script type="text/plain" id="fer-licences">${licences().replaceAll("</", "<\\/")}</script>`);
        html = withPolicy(html, true).replace("</body>", () => `${data.join("\n")}\n</body>`);
        this.emitFile({ type: "asset", fileName: "fer.html", source: html });
      },
    },
  };
}

export default defineConfig(({ mode }) => {
  const single = mode === "file";
  const files = packed(single);
  const shared = [oneRuntime, virtualModules(files)];
  return {
    root: HERE,
    base: "./",
    resolve: { alias: { "@input": INPUT } }, // pictures that Python draws
    publicDir: single ? false : "public",
    define: { __SINGLE__: JSON.stringify(single) },
    plugins: [...shared, single ? singleFile(files) : folder(files)],
    worker: { format: "iife", plugins: () => [oneRuntime, virtualModules(files)] },
    build: {
      outDir: process.env.FER_PAGE_OUT || join(HERE, "../build/page-out"),
      emptyOutDir: !single && !process.env.FER_PAGE_OUT,
      target: "es2022",
      modulePreload: false,
      assetsInlineLimit: single ? 10_000_000 : 0,
      cssCodeSplit: false,
      chunkSizeWarningLimit: 2000,
      reportCompressedSize: false,
    },
  };
});
