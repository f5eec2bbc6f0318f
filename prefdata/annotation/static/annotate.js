"use strict";
// The task page. A choice lives in the form; a submit lives in localStorage from the moment it is made until the server
// has said that it is on its disk. Nothing here knows the ids of responses: it speaks of places on the screen.

const body = document.body;
const main = document.getElementById("main");
const save = document.getElementById("save");
const notice = document.getElementById("notice");
const QUEUE = `prefdata:${body.dataset.store}:${body.dataset.person}:queue:`;
const REFUSED = `prefdata:${body.dataset.store}:${body.dataset.person}:refused:`;
const DRAFT = `prefdata:${body.dataset.store}:${body.dataset.person}:draft:`; // one for each task (for the owner: item)
const KEYS_OFF = "prefdata:keys-off"; // who speaks to the computer, or leans on the keyboard, turns them off once
const NO_LINK = [401, 403]; // nobody's page any more, or somebody else's: another link was opened in this browser
const token = document.querySelector('meta[name="form-token"]').content;

let ready = null; // the task behind this one, as HTML, held for when the server cannot be reached
let sending = false;
let wait = 1000;
let timer = null;
let keysOn = localStorage.getItem(KEYS_OFF) === null;
let rawOn = false;
let shownAt = Date.now();

const form = () => document.getElementById("answer");
const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (n) => n.toString(16).padStart(2, "0")).join("");

function state(kind, text) {
  save.className = `save ${kind}`;
  save.textContent = text;
}

function say(text) {
  notice.hidden = !text;
  notice.textContent = text || "";
}

async function call(url, payload) {
  const control = new AbortController();
  const silent = setTimeout(() => control.abort(), 20000);
  const reply = await fetch(url, {
    method: payload === undefined ? "GET" : "POST",
    headers: { "Content-Type": "application/json", "X-Prefdata-Form": token },
    body: payload === undefined ? undefined : JSON.stringify(payload),
    signal: control.signal,
  }).finally(() => clearTimeout(silent));
  // What has begun to come may take its time: on a slow line the long texts of the next task do.
  setTimeout(() => control.abort(), 120000);
  return reply;
}

// ---- the queue ---------------------------------------------------------------------------------------------------

// Each submit has a key of its own, so that two tabs never write over each other; keys sort by time. Where the browser
// keeps nothing (its storage is full or forbidden) the page holds them as long as it is open.
const held = new Map();

function queue() {
  const kept = Object.keys(localStorage).filter((key) => key.startsWith(QUEUE));
  return [...kept, ...held.keys()].sort();
}

const read = (key) => JSON.parse(held.get(key) ?? localStorage.getItem(key) ?? "null");

function keep(key, entry) {
  const text = JSON.stringify(entry);
  try {
    localStorage.setItem(key, text);
  } catch (error) {
    held.set(key, text);
  }
}

function drop(key) {
  held.delete(key);
  localStorage.removeItem(key);
}

function push(url, payload) {
  // After all that waits, even where the clock was set back meanwhile: an undo sent first would take back another answer.
  const last = Number((queue().pop() || "").slice(QUEUE.length).split("-")[0]);
  const at = String(Math.max(Date.now(), last + 1)).padStart(15, "0");
  keep(`${QUEUE}${at}-${payload.token}`, { url, payload });
  clearTimeout(timer);
  wait = 1000;
  return flush();
}

async function flush() {
  if (sending) return;
  sending = true;
  try {
    for (let keys = queue(); keys.length; keys = queue()) {
      const entry = read(keys[0]);
      if (entry === null) continue; // another tab has just sent it
      state("saving", "Saving…");
      let reply;
      try {
        reply = await call(entry.url, entry.payload);
        if (reply.status >= 500 || [408, 425, 429].includes(reply.status)) throw new Error(String(reply.status));
        if (!NO_LINK.includes(reply.status)) reply.document = await reply.json();
      } catch (error) {
        later(queue().length);
        return;
      }
      if (NO_LINK.includes(reply.status)) {
        state("waiting", "Not saved: open your link again; your answers wait in this browser.");
        return;
      }
      drop(keys[0]);
      done(entry, reply);
    }
    state("saved", "All answers are saved.");
    wait = 1000;
  } finally {
    sending = false;
  }
}

function later(count) {
  const where = held.size ? "on this page" : "in this browser";
  const what = count === 1 ? "1 answer waits" : `${count} answers wait`;
  state("waiting", `Not saved yet: ${what} ${where}; the server is tried again.`);
  timer = setTimeout(flush, wait);
  wait = Math.min(2 * wait, 15000);
}

function done(entry, reply) {
  const found = reply.document;
  if (!reply.ok) {
    // Kept, and put into the form again when the task it was for is shown anew.
    keep(REFUSED + entry.payload.token, entry);
    if (entry.payload.answer) remember(entry.payload, entry.payload.answer);
    say(`The server did not take an answer: ${found.error || reply.status}`);
    if (form() && String(entry.payload.task) === form().dataset.task) unlock();
    return;
  }
  if (found.judges) say(`Saved. What the judges said: ${found.judges}`);
  else if (found.surplus) say("Saved. Others had answered this one first: yours is kept beside theirs.");
  const current = form() ? form().dataset.task : null;
  if (found.next !== null && (found.always || current === null || current === String(entry.payload.task))) {
    show(found.next);
  }
  const progress = document.getElementById("progress");
  if (progress && found.progress) progress.textContent = found.progress;
  prefetch();
}

async function prefetch() {
  if (!form() || form().dataset.url !== "/answers" || ready !== null) return;
  const after = form().dataset.task;
  try {
    const reply = await call(`/next?after=${after}`);
    const found = reply.ok ? (await reply.json()).next : null;
    // Looked at last: while this was under way another task may have come onto the screen.
    if (form() && form().dataset.task === after && ready === null) ready = found;
  } catch (error) {
    // The next task is asked for again when this one has been saved.
  }
}

async function refresh() {
  try {
    const reply = await call("/next");
    if (reply.ok) show((await reply.json()).next);
  } catch (error) {
    // What waits is sent when the server is back, and brings the task after it.
  }
}

// Others may skip something, or leave it lying: whoever is done sees it come.
async function look() {
  if (form() || queue().length || !document.querySelector('#done [data-do="undo"]')) return;
  try {
    const reply = await call("/next");
    const found = reply.ok ? (await reply.json()).next : "";
    if (!form() && found.includes('id="answer"')) show(found);
  } catch (error) {
    // Asked again in a while.
  }
}
setInterval(look, 20000);

// ---- what is on the screen ---------------------------------------------------------------------------------------

function show(html) {
  main.innerHTML = html;
  ready = null;
  begin();
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
  // What is shown now is not what the address names: to load that again would show the other one.
  const page = /^\/(task|adjudicate)\//.exec(location.pathname);
  if (page) history.replaceState(null, "", `/${page[1]}`);
}

function begin() {
  shownAt = Date.now();
  if (window.htmx) htmx.process(main);
  if (!form()) return;
  const raw = JSON.parse(document.getElementById("raw").textContent);
  for (const pre of all("pre[data-raw]")) {
    const [part, first, second] = pre.dataset.raw.split(".");
    pre.textContent = part === "context" ? raw.context[first] : raw.responses[first][second];
    const [message, letters] = raw.same;
    if (part === "responses" && Number(second) === message && letters) mark(pre, letters);
  }
  for (const area of all("textarea[data-edited]")) {
    area.value = raw.responses[place(area)].at(-1);
    area.dataset.original = area.value;
  }
  if (rawOn) showRaw(true);
  const list = document.querySelector("ol.responses");
  if (list) {
    new Sortable(list, { handle: ".handle", animation: 120, onEnd: () => moved() });
    ranks();
  }
  const previous = JSON.parse(form().dataset.previous || "null");
  const begun = JSON.parse(localStorage.getItem(draftOf(form().dataset)) || "null");
  if (begun || previous) restore(begun || previous);
  if (begun && previous) say("You began to change this answer: what you see is not saved yet.");
  for (const box of all(".rendered, .calls pre")) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  keysShown();
}

function mark(pre, letters) {
  const text = pre.textContent;
  const alike = document.createElement("span");
  alike.className = "alike";
  alike.textContent = text.slice(0, letters);
  const point = document.createElement("mark");
  point.className = "point";
  point.setAttribute("aria-label", "the responses differ from here");
  pre.replaceChildren(alike, point, document.createTextNode(text.slice(letters)));
}

const place = (element) => Number(element.closest(".response").dataset.place);
const chosen = () => document.querySelector('input[name="verdict"]:checked');

function tiers() {
  const picked = chosen();
  if (picked && "best" in picked.dataset) {
    const best = picked.dataset.best;
    return best === "" ? [[0, 1]] : [[Number(best)], [1 - Number(best)]];
  }
  const found = [];
  for (const item of all("ol.responses > li")) {
    if (item.classList.contains("tied") && found.length) found[found.length - 1].push(place(item));
    else found.push([place(item)]);
  }
  return found;
}

function collect() {
  const picked = chosen();
  const answer = { verdict: picked ? picked.value : null, ratings: {}, flags: {}, edits: {} };
  if (answer.verdict === "ranked" || document.querySelector("ol.responses")) answer.tiers = tiers();
  if (picked && picked.dataset.strength) answer.strength = Number(picked.dataset.strength);
  for (const box of all("input[data-flag]:checked")) (answer.flags[place(box)] ||= []).push(box.dataset.flag);
  for (const one of all("select[data-criterion]")) {
    if (one.value) (answer.ratings[place(one)] ||= {})[one.dataset.criterion] = Number(one.value);
  }
  for (const area of all("textarea[data-edited]")) {
    if (area.value !== area.dataset.original) answer.edits[place(area)] = area.value;
  }
  answer.rationale = document.getElementById("rationale").value;
  return answer;
}

function restore(answer) {
  const list = document.querySelector("ol.responses");
  if (list && answer.tiers && answer.tiers.length) {
    for (const tier of answer.tiers) {
      tier.forEach((number, at) => {
        const item = document.getElementById(`response-${number}`);
        item.classList.toggle("tied", at > 0);
        list.append(item);
      });
    }
    ranks();
  }
  let wanted = `input[name="verdict"][value="${answer.verdict}"]`;
  if (!list && answer.verdict === "ranked") {
    const best = answer.tiers.length === 1 ? "" : answer.tiers[0][0];
    wanted += `[data-best="${best}"][data-strength="${best === "" ? "" : answer.strength}"]`;
  }
  const radio = document.querySelector(wanted);
  if (radio) radio.checked = true;
  const at = (number, selector) => all(selector, document.getElementById(`response-${number}`));
  for (const [number, own] of Object.entries(answer.flags || {})) {
    for (const box of at(number, "input[data-flag]")) box.checked = own.includes(box.dataset.flag);
  }
  for (const [number, own] of Object.entries(answer.ratings || {})) {
    for (const one of at(number, "select[data-criterion]")) one.value = own[one.dataset.criterion] ?? "";
  }
  for (const [number, text] of Object.entries(answer.edits || {})) {
    for (const area of at(number, "textarea[data-edited]")) {
      area.value = text;
      open(area.closest(".edit"), true);
    }
  }
  document.getElementById("rationale").value = answer.rationale || "";
}

function problem(text) {
  document.getElementById("problem").textContent = text;
}

// While an answer is under way and no task is there to go on with, keys must not send it a second time.
const locked = () => form() !== null && "locked" in form().dataset;

function lock() {
  form().dataset.locked = "";
  for (const element of form().elements) element.disabled = true;
}

function unlock() {
  delete form().dataset.locked;
  for (const element of form().elements) element.disabled = false;
}

function submit() {
  if (!form() || locked()) return;
  const answer = collect();
  const owner = form().dataset.url !== "/answers";
  if (!answer.verdict) {
    problem("Choose an answer first.");
    document.querySelector('input[name="verdict"]').focus();
    return;
  }
  if (Object.values(answer.edits).some((text) => !text.trim())) {
    problem("An improved response must not be empty.");
    return;
  }
  problem("");
  say("");
  answer.milliseconds = Date.now() - shownAt;
  const { task, item, seen, url } = form().dataset;
  const payload = { task: Number(task), item: Number(item), seen, token: fresh(), answer, have: null };
  localStorage.removeItem(draftOf(payload));
  if (ready !== null && !owner) {
    const html = ready;
    show(html);
    payload.have = form() ? Number(form().dataset.task) : null;
  } else {
    lock();
    problem("");
  }
  push(url, payload);
}

// ---- ranking -----------------------------------------------------------------------------------------------------

function moved() {
  ranks();
  const order = document.querySelector('input[name="verdict"][value="ranked"]');
  if (order) order.checked = true;
  draft();
}

function ranks() {
  const items = all("ol.responses > li");
  let rank = 0;
  items.forEach((item, at) => {
    if (at === 0) item.classList.remove("tied");
    if (!item.classList.contains("tied")) rank = at + 1;
    item.querySelector("[data-rank]").textContent = `rank ${rank}`;
    const tie = item.querySelector('[data-move="tie"]');
    tie.setAttribute("aria-pressed", String(item.classList.contains("tied")));
    tie.disabled = at === 0;
    item.querySelector('[data-move="up"]').disabled = at === 0;
    item.querySelector('[data-move="down"]').disabled = at === items.length - 1;
  });
}

function move(item, how) {
  const list = item.parentElement;
  if (how === "tie") {
    if (item.previousElementSibling) item.classList.toggle("tied");
  } else if (how === "up" && item.previousElementSibling) {
    list.insertBefore(item, item.previousElementSibling);
    item.classList.remove("tied");
  } else if (how === "down" && item.nextElementSibling) {
    list.insertBefore(item.nextElementSibling, item);
    item.classList.remove("tied");
  }
  moved();
  item.scrollIntoView({ block: "nearest" });
}

// ---- the rest of the controls ------------------------------------------------------------------------------------

const draftOf = ({ task, item }) => `${DRAFT}${task}-${item}`;

function draft() {
  if (form()) remember(form().dataset, collect());
}

function remember(task, answer) {
  try {
    localStorage.setItem(draftOf(task), JSON.stringify(answer));
  } catch (error) {
    // A draft that cannot be kept is lost with the page, and only then.
  }
}

// A keyboard of another script, or one whose digits want Shift, sends signs of its own: there the place of the key counts.
function keyOf(event) {
  const key = event.key.toLowerCase();
  const [, kind, sign] = /^(Key|Digit)(.)$/.exec(event.code) || [];
  const other = kind === "Key" ? key.length === 1 && key > "~" : kind && !event.shiftKey && !/^[a-z0-9]$/.test(key);
  return other ? sign.toLowerCase() : key;
}

function showRaw(on) {
  for (const pre of all("pre[data-raw]")) pre.hidden = !on;
  for (const box of all(".message > .rendered")) box.hidden = on;
  const button = document.querySelector('[data-do="raw"]');
  if (button) button.setAttribute("aria-pressed", String(on));
  rawOn = on;
}

function keysShown() {
  body.classList.toggle("no-keys", !keysOn);
  const button = document.querySelector('[data-do="keys"]');
  if (!button) return;
  button.setAttribute("aria-pressed", String(keysOn));
  button.firstChild.textContent = keysOn ? "Keys on " : "Keys off ";
}

function open(edit, on) {
  edit.querySelector(".editor").hidden = !on;
  edit.querySelector("[data-edit]").setAttribute("aria-expanded", String(on));
}

async function diff(edit) {
  const area = edit.querySelector("textarea");
  const target = edit.querySelector(".diff");
  try {
    const reply = await call("/diff", { task: Number(form().dataset.task), place: place(area), text: area.value });
    target.innerHTML = (await reply.json()).html;
  } catch (error) {
    target.textContent = "The server cannot be reached now; the edit is kept.";
  }
}

const actions = {
  raw: () => showRaw(document.querySelector('[data-do="raw"]').getAttribute("aria-pressed") !== "true"),
  keys: () => {
    keysOn = !keysOn;
    try {
      if (keysOn) localStorage.removeItem(KEYS_OFF);
      else localStorage.setItem(KEYS_OFF, "");
    } catch (error) {
      // Then they are off for as long as the page is open.
    }
    keysShown();
  },
  undo: () => push("/undo", { token: fresh() }),
  back: () => location.assign("/history"),
  skip: (button) => {
    const box = document.getElementById("skipping");
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
    if (!box.hidden) document.getElementById("reason").focus();
  },
  "skip-now": () => {
    const reason = document.getElementById("other").value.trim() || document.getElementById("reason").value;
    if (!reason) {
      problem("Say in a few words why you skip it.");
      document.getElementById("other").focus();
      return;
    }
    const payload = { task: Number(form().dataset.task), token: fresh(), reason, have: null };
    localStorage.removeItem(draftOf(form().dataset));
    problem("");
    say("");
    if (ready !== null) {
      show(ready);
      payload.have = form() ? Number(form().dataset.task) : null;
    } else {
      lock();
    }
    push("/skips", payload);
  },
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.do) actions[button.dataset.do](button);
  else if (button.dataset.move) {
    const item = button.closest("li");
    move(item, button.dataset.move);
    (button.disabled ? item : button).focus();
  } else if ("edit" in button.dataset) {
    const edit = button.closest(".edit");
    open(edit, edit.querySelector(".editor").hidden);
    if (!edit.querySelector(".editor").hidden) edit.querySelector("textarea").focus();
  } else if ("diff" in button.dataset) diff(button.closest(".edit"));
  else if ("discard" in button.dataset) {
    const area = button.closest(".edit").querySelector("textarea");
    area.value = area.dataset.original;
    button.closest(".edit").querySelector(".diff").replaceChildren();
    open(button.closest(".edit"), false);
    draft();
  }
});

document.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});

document.addEventListener("input", (event) => {
  if (event.target.closest("#answer")) draft();
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.altKey || event.metaKey || event.isComposing) return;
  const target = event.target;
  if (event.key === "Enter" && target.id === "other") {
    // Else the browser would send the form, and an answer with it.
    event.preventDefault();
    actions["skip-now"]();
    return;
  }
  if (event.key === "Enter" && event.ctrlKey && form()) {
    event.preventDefault();
    submit();
    return;
  }
  if (event.ctrlKey) return;
  const typing = target.matches("textarea, select, input[type=text]");
  if (typing) {
    if (event.key === "Escape") target.blur();
    return;
  }
  // A key that is held down is one press: it must not undo answer after answer.
  if (event.repeat && !event.key.startsWith("Arrow")) return;
  const key = keyOf(event);
  if (key === "k") {
    actions.keys();
    return;
  }
  if (!keysOn || locked()) return;
  if (event.key === "Enter") {
    if (target.matches("button, a, summary, input[type=checkbox]") || !form()) return;
    event.preventDefault();
    submit();
    return;
  }
  if (key === "u" && document.querySelector('[data-do="undo"]')) {
    actions.undo();
    return;
  }
  if (!form()) return;
  const radio = document.querySelector(`input[data-key="${CSS.escape(key)}"]`);
  const item = target.closest("li.response");
  if (radio) {
    radio.checked = true;
    radio.focus({ preventScroll: true });
    draft();
  } else if (/^[1-9]$/.test(key) && document.getElementById(`response-${key - 1}`)) {
    document.getElementById(`response-${key - 1}`).focus();
  } else if (item && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
    move(item, event.key === "ArrowUp" ? "up" : "down");
    item.focus();
  } else if (item && key === "t") {
    move(item, "tie");
  } else if (key === "n") {
    document.getElementById("rationale").focus();
  } else if (key === "e") {
    const picked = chosen();
    const number = item ? place(item) : picked && picked.dataset.best ? Number(picked.dataset.best) : 0;
    const button = document.querySelector(`#response-${number} [data-edit]`);
    if (button) button.click();
  } else if (key === "f") {
    const box = (item || document).querySelector("input[data-flag]");
    if (box) box.focus();
  } else {
    const names = { r: "raw", p: "back", s: "skip" };
    const button = key in names && document.querySelector(`[data-do="${names[key]}"]`);
    if (!button) return;
    button.click();
  }
  event.preventDefault();
});

window.addEventListener("online", flush);
document.addEventListener("DOMContentLoaded", async () => {
  begin();
  if (queue().length) {
    await flush();
    if (!queue().length) await refresh();
  }
  prefetch();
});
