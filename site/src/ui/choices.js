// The language and the colours, chosen above on the page and remembered by the browser.
import { make } from "../../../fer_utils/live/static/common.js";
import { WORDS } from "../words.js";

/** Return what was chosen the last time, if it is one of `possible`. */
export function remembered(name, possible) {
  try {
    const value = localStorage.getItem(`fer-${name}`);
    return possible.includes(value) ? value : null;
  } catch { // a browser that keeps nothing
    return null;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`fer-${name}`, value);
  } catch { /* then not */ }
}

function select(label, options, value, choose) {
  const element = make("select", { "aria-label": label, title: label, onchange: () => choose(element.value) },
    ...options.map(([name, text, language]) => make("option", { value: name, selected: name === value, lang: language }, text)));
  return element;
}

export function choices(app, on) {
  const { words } = app;
  const language = select(words.chooseLanguage, Object.entries(WORDS).map(([name, { language: text }]) => [name, text, name]),
    app.language, (name) => { remember("language", name); on.language(name); });
  const theme = select(words.chooseTheme, [["system", words.themeSystem], ["light", words.themeLight], ["dark", words.themeDark]],
    app.theme, (name) => { remember("theme", name); on.theme(name); });
  return { element: make("div", { class: "page-choices" }, language, theme), focusLanguage: () => language.focus() };
}
