"""The modules of the page that need no page: its words, its names of files and its shares, held against Python's."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_utils.event import shares
from fer_utils.files import escape_formula
from fer_utils.labels import EMOTIONS, VALENCE, VALENCES
from fer_utils.live import photos

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LANGUAGES = ("en", "de", "fr")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def sources():
    """A page from which the modules of the page's sources can be imported one by one."""
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()

        def answer(route):
            path = ROOT / route.request.url.split("test/", 1)[1]
            kind = "text/javascript" if path.suffix == ".js" else "text/html"
            route.fulfill(content_type=kind, body=path.read_text(encoding="utf-8") if path.is_file() else "")

        page.route("http://sources.test/**", answer)
        page.goto("http://sources.test/empty")
        yield page
        browser.close()


def test_names_are_escaped_as_python_escapes_them(sources):
    names = ["me.jpg", "=cmd()", "+1", "-0.5", "1e5", "  @x", "a\n=b", "\t=x", "\n\n-x", "\ufeff=x", "\uff1dx", "a=b",
             "", "x;=1+1;.png", "\r\n\u3000-y", "=\"a\",\"b\"", "x\u2028\u200b+y"]
    call = "([name, texts]) => import('/site/src/ui/names.js').then((own) => texts.map((text) => own[name](text)))"
    done = sources.evaluate(call, ["escapeFormula", names])
    assert done == [escape_formula(name) for name in names]
    stems = ["../../etc/passwd.jpg", r"C:\boot.ini", "写真.png", "…", "CON.jpg", "<img src=x>.jpg", "a" * 80 + ".png"]
    done = sources.evaluate(call, ["safeStem", stems])
    assert done == [photos._safe_stem(name) for name in stems]


def flat(words):
    for key, value in words.items():
        value = dict(enumerate(value)) if isinstance(value, list) else value
        for part, text in value.items() if isinstance(value, dict) else [("", value)]:
            yield f"{key} {part}".strip(), text


def test_every_word_is_there_in_every_language_and_none_is_of_no_use(sources):
    words = sources.evaluate("import('/site/src/words.js').then(({ WORDS }) => WORDS)")
    assert tuple(words) == LANGUAGES
    english = dict(flat(words["en"]))
    for language in LANGUAGES[1:]:
        texts = dict(flat(words[language]))
        assert texts.keys() == english.keys()
        for key, text in texts.items():
            assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", english[key])), (language, key)
            assert text.strip() and (text != english[key] or len(re.sub(r"{\w+}", "", text)) < 12), (language, key)
    code = "\n".join(path.read_text(encoding="utf-8") for folder in ("site/src", "fer_utils/live/static")
                     for path in (ROOT / folder).rglob("*.js") if path.name != "words.js")
    used = set(re.findall(r"\b(?:(?:words|ENGLISH)\.|(?:word|count)\(\"|key: \")(\w+)", code))
    assert {key for key in words["en"] if not key.startswith("error.")} - {"language"} <= used
    codes = {key.removeprefix("error.") for key in words["en"] if key.startswith("error.")}
    raised = set(re.findall(r"problem\(\"([\w-]+)\"", code)) | {"unreadable", "failed"}
    assert codes >= raised


SERVED = """async () => {
  const code = await (await fetch("/site/sw.js")).text(), listen = {}, store = new Map();
  const scope = "http://sources.test/fer/";
  let kept = ["fer-page-old http://sources.test/other/", `fer-page-old ${scope}`, "somebody else's"], refuse = false;
  const caches = {
    open: async () => ({ match: async (asked) => store.get(asked.url ?? asked), addAll: async () => {},
      put: async (asked, answer) => {
        if (refuse) throw new DOMException("full", "QuotaExceededError");
        store.set(asked.url, answer);
      } }),
    keys: async () => kept, delete: async (name) => { kept = kept.filter((other) => other !== name); } };
  const self = { registration: { scope }, clients: { claim() {} },
    addEventListener: (name, call) => { listen[name] = call; } };
  const host = { "login.bin": "text/html", "full.bin": "application/x-any", "more.bin": "application/x-any" };
  const fetched = async ({ url }) => new Response(url, { headers: { "content-type": host[url.split("/").at(-1)] } });
  new Function("self", "caches", "fetch", code.replace("__FILES__", "[]"))(self, caches, fetched);
  const event = (request) => { const all = []; return { request, respondWith: (answer) => { all.push(answer); },
    waitUntil: (work) => { all.push(work); }, all }; };
  const gone = event();
  listen.activate(gone);
  await Promise.all(gone.all);
  const answered = [];
  for (const name of Object.keys(host)) {
    refuse = name === "more.bin";
    const one = event(new Request(`${scope}assets/${name}`));
    listen.fetch(one);
    answered.push((await one.all[0]).ok);
    await Promise.all(one.all);
  }
  return { kept, answered, stored: [...store.keys()] };
}"""


def test_the_service_worker_keeps_what_is_right_and_only_its_own(sources):
    seen = sources.evaluate(SERVED)
    assert seen["answered"] == [True, True, True]  # also where the browser has no room for more
    assert seen["stored"] == ["http://sources.test/fer/assets/full.bin"]  # not a login page that came instead
    assert seen["kept"] == ["fer-page-old http://sources.test/other/", "somebody else's"]


@pytest.mark.parametrize("name", ["one face", "many photos", "correlated photos"])
def test_corrected_shares_are_those_of_the_event_report(sources, name):
    rng = np.random.default_rng(1)
    confusion = np.full((7, 7), 12) + np.diag(rng.integers(60, 300, 7))
    units = {"one face": np.eye(7, dtype=int)[[3]],
             "correlated photos": np.eye(7, dtype=int)[rng.integers(0, 7, 60)] * 6,
             "many photos": rng.multinomial(3, [.1, .02, .1, .4, .13, .1, .15], size=200)}[name]
    rows = sources.evaluate("""({ units, confusion, groups, constants }) => import("/site/src/ui/shares.js")
        .then(({ estimateShares }) => estimateShares(units, confusion, groups, constants))""", {
        "units": units.tolist(), "confusion": confusion.tolist(),
        "groups": [[i for i, e in enumerate(EMOTIONS) if VALENCE[e] == valence] for valence in VALENCES],
        "constants": {"shrinkage": shares.SHRINKAGE, "prior": shares.PRIOR}})
    draws = [shares.estimate_shares(units, confusion, seed=seed) for seed in range(4)]
    assert [row["faces"] for row in rows] == draws[0]["faces"].tolist()
    for kind in ("raw", "corrected"):
        assert np.allclose([row[kind]["at"] for row in rows], draws[0][kind], atol=1e-9)
        for end in ("low", "high"):
            theirs = np.stack([table[f"{kind}_{end}"] for table in draws])
            noise = np.ptp(theirs, axis=0).max()  # of Python's own draws, from one seed to another
            assert np.abs(np.array([row[kind][end] for row in rows]) - theirs.mean(axis=0)).max() < max(2 * noise, 0.02)
