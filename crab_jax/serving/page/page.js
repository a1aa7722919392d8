// The page of the server: a clip in, answers on it. No build step, no library.

const $ = (name) => document.getElementById(name);
const video = $("video");
const polls = new URLSearchParams(location.search).get("stream") === "0";
const HEADS = ["#8ecae6", "#ffb703", "#a7c957", "#f28482", "#cdb4db", "#e9c46a"];
const LEAST_SECONDS = 10; // of the timeline: the grid of the tasks

const state = { files: {}, other: null, tasks: [], lanes: [], places: [], url: null, end: LEAST_SECONDS, start: 0 };

function say(text, failed = false) {
  $("state").textContent = text;
  $("state").classList.toggle("failed", failed);
  $("retry").hidden = !failed || !state.asked; // nothing was asked: nothing to repeat
}

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function headers() {
  const key = $("key").value.trim();
  return key ? { authorization: `Bearer ${key}` } : {};
}

// --- the clip

function kindOf(file) {
  const kind = file.type.split("/")[0];
  return ["video", "audio", "image"].includes(kind) ? kind : "video";
}

function choose(files) {
  if (!files.length) return;
  for (const file of files) state.files[kindOf(file)] = file;
  if (state.url) URL.revokeObjectURL(state.url);
  clearAnswers();
  $("stage").classList.remove("empty");
  const shown = state.files.video || state.files.audio;
  $("still").hidden = true;
  video.hidden = false;
  if (shown) {
    state.url = URL.createObjectURL(shown);
    video.src = state.url;
  }
  if (state.files.image && !state.files.video) {
    $("still").src = URL.createObjectURL(state.files.image);
    $("still").hidden = false;
    video.hidden = true;
  }
  const names = Object.values(state.files).map((file) => file.name).join(", ");
  say(`${names}: choose what to ask.`);
  misfits();
}

async function take(name) {
  say("Drawing a clip …");
  try {
    const reply = await fetch(`page/${name}`);
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    choose([new File([await reply.blob()], name, { type: "video/mp4" })]);
  } catch (error) {
    say(`There is no such clip: ${error.message}.`);
  }
}

// The second candidate of what compares two, or none.
function compare(file = null) {
  state.other = file;
  if (!file) $("other").value = "";
  $("alone").hidden = !file;
  misfits();
}

function forget() {
  state.files = {};
  compare();
  video.removeAttribute("src");
  video.load();
  $("still").hidden = true;
  for (const name of ["file", "from", "to"]) $(name).value = "";
  $("stage").classList.add("empty");
  clearAnswers();
  misfits();
  say("Drop a clip, or choose one.");
  $("file").focus();
}

function clearAnswers() {
  $("cards").replaceChildren();
  $("frames").hidden = true;
  state.lanes = [];
  state.places = [];
  draw();
  timeline();
}

// --- tasks

async function loadTasks() {
  const reply = await fetch("v1/models", { headers: headers() });
  if (reply.status === 401) {
    $("keyed").hidden = false;
    say("This server wants an API key.");
    return;
  }
  const models = (await reply.json()).data;
  state.tasks = models.map((model) => ({ ...model.crab, name: model.crab.task || "crab" }));
  const families = new Map();
  for (const task of state.tasks) {
    const family = task.name === "crab" ? "your own" : task.family;
    families.set(family, [...(families.get(family) || []), task]);
  }
  const all = chip("all", "all that fit");
  const groups = [make("fieldset", {}, make("legend", {}, "everything"), all)];
  for (const [family, tasks] of families) {
    const chips = tasks.map((task) => chip(task.name, task.name === "crab" ? "a question" : task.name));
    groups.push(make("fieldset", {}, make("legend", {}, family), ...chips));
  }
  $("tasks").replaceChildren(...groups);
  all.querySelector("input").checked = true;
  misfits();
}

function chip(name, text) {
  const input = make("input", { type: "checkbox", value: name, onchange: () => chosen(name) });
  return make("label", { class: "chip" }, input, make("span", {}, text));
}

function inputs() {
  return [...$("tasks").querySelectorAll("input")];
}

function chosen(name) {
  const all = inputs().find((input) => input.value === "all");
  if (name === "all" && all.checked) inputs().forEach((input) => (input.checked = input === all));
  else all.checked = !inputs().some((input) => input !== all && input.checked);
  misfits();
}

// What a clip lacks for a task or has too much, as the server says it.
function why(task) {
  const files = state.files;
  const other = state.other && kindOf(state.other);
  if (other && other !== task.compares)
    return `${task.compares ? `it compares two ${task.compares}s` : "it is about one clip"}, without a second ${other}`;
  if (task.compares) {
    const lacks = ["video", "audio"].filter((kind) => !files[kind]);
    if (!other) lacks.push(`a second ${task.compares}`);
    return lacks.length ? `it compares two ${task.compares}s: it needs ${lacks.join(" and ")}` : null;
  }
  if (!files.audio && !files.video) return "it needs audio or a video with sound";
  if (task.sees === "video" && !files.video) return "it needs video";
  if (task.sees === "image" && !files.image && !files.video) return "it needs image or video";
  return null;
}

function misfits() {
  const has = Object.keys(state.files).length > 0;
  for (const input of inputs()) {
    const task = state.tasks.find((found) => found.name === input.value);
    const reason = has && task ? why(task) : null;
    input.parentElement.classList.toggle("misfit", Boolean(reason));
    input.parentElement.title = reason || "";
    input.disabled = Boolean(reason);
    if (reason) input.checked = false;
  }
  const picked = inputs().filter((input) => input.checked).map((input) => input.value);
  const asks = (name) => (state.tasks.find((task) => task.name === name)?.asks || []).length > 0;
  $("asking").hidden = !picked.some((name) => name === "all" || asks(name));
  $("ask").disabled = !has || !picked.length;
}

// --- asking

function askAll(event) {
  event.preventDefault();
  clearAnswers();
  return ask(inputs().filter((input) => input.checked).map((input) => input.value));
}

async function ask(names) {
  state.asked = names;
  say("Uploading …"); // and no longer what the last try ended with
  $("ask").disabled = true;
  const form = new FormData();
  for (const [kind, file] of media()) form.append(kind, file, file.name);
  form.append("tasks", names.join(","));
  if ($("question").value.trim()) form.append("question", $("question").value.trim());
  if ($("options").value.trim()) form.append("options", $("options").value);
  if ($("gates").checked) form.append("gates", "1");
  for (const [name, value] of cut()) form.append(name, value);
  state.start = Number($("from").value) || 0; // what answers say is behind it
  form.append("previews", "1");
  if (!polls) form.append("stream", "1");
  try {
    await (polls ? whole(form) : streamed(form));
  } catch (error) {
    say(`Failed: ${error.message}`, true);
  }
  misfits();
}

// The files, a second candidate behind the first.
function media() {
  const { files, other } = state;
  return [...Object.entries(files), ...(other ? [[kindOf(other), other]] : [])];
}

// The part of the clip that is asked about, as the server wants it.
function cut() {
  const ends = [["start", $("from").value], ["end", $("to").value]];
  return ends.filter(([, value]) => value !== "").map(([name, value]) => [name, String(Number(value))]);
}

// XMLHttpRequest tells how much of an upload has gone; fetch does not.
function send(form, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "v1/clips");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => {
      if (event.lengthComputable) say(`Uploading ${Math.round((100 * event.loaded) / event.total)} %`);
    };
    request.upload.onload = () => say("Looking and listening …");
    request.onprogress = () => request.status === 200 && progress(request.responseText);
    request.onerror = () => reject(new Error("the server cannot be reached"));
    request.onload = () => {
      if (request.status === 200) return resolve(request.responseText);
      let message = `status ${request.status}`;
      try {
        message = JSON.parse(request.responseText).error.message;
      } catch { /* a proxy's own page */ }
      return reject(new Error(message));
    };
    request.send(form);
  });
}

async function streamed(form) {
  let read = 0;
  const progress = (text) => {
    for (;;) {
      const end = text.indexOf("\n\n", read);
      if (end < 0) return;
      const block = text.slice(read, end);
      read = end + 2;
      if (block.startsWith("data: ") && block !== "data: [DONE]") heard(JSON.parse(block.slice(6)));
    }
  };
  const text = await send(form, progress);
  progress(text);
  if (!text.trimEnd().endsWith("[DONE]") && !$("state").classList.contains("failed"))
    throw new Error("the connection ended early");
  if (!$("state").classList.contains("failed")) say("Done.");
}

async function whole(form) {
  const found = JSON.parse(await send(form, () => {}));
  heard({ event: "opened", ...found, tasks: found.answers.map((answer) => answer.task) });
  for (const answer of found.answers) heard({ event: answer.error ? "failed" : "answer", ...answer });
  say("Done.");
}

function heard(value) {
  // What ends a stream. Thrown, it would be lost in the handler of the request.
  if (value.error && !value.event) return say(`Failed: ${value.error.message}`, true);
  const actions = { opened, waiting, started, text: typed, failed, answer };
  try {
    actions[value.event]?.(value);
  } catch (error) {
    say(`Failed: ${error.message}`, true);
  }
}

function waiting(value) {
  say(value.ahead ? `Queued, ${value.ahead} before.` : "Looking and listening …");
}

function opened(value) {
  for (const name of value.tasks) card(name);
  for (const { task, reason } of value.left_out) {
    const found = inputs().find((input) => input.value === task);
    if (found) found.parentElement.title = reason;
  }
  const cannotPlay = video.error || (state.files.video && !video.videoWidth && video.readyState > 0);
  if (cannotPlay && value.frames.length) frames(value.frames);
  say("Answering …");
}

function frames(found) {
  video.hidden = true;
  $("still").hidden = false;
  $("still").src = found[0].url;
  $("frames").hidden = false;
  $("frames").replaceChildren(
    ...found.map((frame) =>
      make("img", { src: frame.url, alt: `at ${frame.seconds} s`, onclick: () => ($("still").src = frame.url) }),
    ),
  );
}

function card(name) {
  const made = make("article", { class: "card", id: `card-${name}` });
  made.append(make("h2", {}, name === "crab" ? "your question" : name, make("small", {}, "waiting")));
  made.append(make("p", { class: "said" }));
  // One that has failed is asked again where it stands.
  const before = $(made.id);
  before ? before.replaceWith(made) : $("cards").append(made);
}

const part = (name, selector) => $(`card-${name}`).querySelector(selector);

function started(value) {
  part(value.task, "small").textContent = "answering";
}

function typed(value) {
  part(value.task, ".said").textContent += value.delta;
}

function failed(value) {
  $(`card-${value.task}`).classList.add("failed");
  part(value.task, "small").textContent = "failed";
  part(value.task, ".said").textContent = value.error.message;
  const again = make("button", { type: "button", class: "plain", onclick: () => $("ask").disabled || ask([value.task]) }, "Ask again");
  $(`card-${value.task}`).append(make("p", { class: "row" }, again));
}

function inWords(said) {
  if (said.events) return said.events.map((e) => `${e.label} ${e.start}–${e.end}\u00a0s`).join(", ");
  if (said.label) return said.label;
  const there = said.exists === undefined ? "" : said.exists ? "it is there" : "it is not there";
  const box = said.box ? `box ${said.box.join(", ")}` : "";
  return [there, box].filter(Boolean).join(": ");
}

function answer(value) {
  const { crab } = value;
  const own = $(`card-${value.task}`);
  part(value.task, "small").textContent = `${crab.seconds.toFixed(1)} s, ${value.usage.completion_tokens} tokens`;
  part(value.task, ".said").textContent = ["caption", "place"].includes(crab.answer.kind) ? value.content : crab.reasoning || "";
  if (crab.failure) own.append(make("p", { class: "unread" }, `could not be read: ${crab.failure}. It said: ${value.content}`));
  else if (inWords(crab.answer)) own.append(make("p", { class: "answer" }, inWords(crab.answer)));
  if (crab.gates) own.append(strip(crab.gates.answer));
  own.append(actions(value));
  // Of an answer that was begun before.
  for (const kept of ["lanes", "places"]) state[kept] = state[kept].filter((found) => found.task !== value.task);
  if (crab.answer.events) {
    for (const event of crab.answer.events) {
      const [start, end] = [event.start + state.start, event.end + state.start];
      state.lanes.push({ task: value.task, ...event, start, end });
      state.end = Math.max(state.end, end);
    }
    timeline();
  }
  if (crab.answer.box || crab.answer.points || crab.mask) {
    const mask = crab.mask && region(crab.mask);
    const at = (crab.seen.seconds[0] || 0) + state.start;
    state.places.push({ task: value.task, at, ...crab.answer, mask });
    own.querySelector(".row").prepend(make("button", { type: "button", class: "plain", onclick: () => seek(at) }, `→ ${at.toFixed(1)} s`));
    draw();
  }
}

function strip(tokens) {
  const made = make("div", { class: "strip", "aria-label": "The head of the adapter with the largest gate, token by token" });
  for (const [text, ...gates] of tokens) {
    const head = gates.indexOf(Math.max(...gates));
    const token = make("span", { title: gates.map((g, i) => `head ${i}: ${g}`).join("\n") }, text);
    token.style.background = HEADS[head % HEADS.length]; // by script: the policy of styles stays strict
    made.append(token);
  }
  return made;
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}

function actions(value) {
  const text = JSON.stringify(value, null, 1);
  const files = media().map(([kind, file]) => `-F ${kind}=@'${file.name.replaceAll("'", "'\\''")}'`);
  const line = `curl ${new URL("v1/clips", location.href)} ${[...files, ...cut().map(([name, seconds]) => `-F ${name}=${seconds}`)].join(" ")} -F tasks=${value.task}`;
  return make(
    "p",
    { class: "row" },
    make("button", { type: "button", class: "plain", onclick: () => save(new Blob([text], { type: "application/json" }), `${value.task}.json`) }, "JSON"),
    make("button", { type: "button", class: "plain", onclick: () => navigator.clipboard?.writeText(line) }, "Copy curl"),
  );
}

// --- the timeline

function seconds() {
  return Math.max(state.end, Number.isFinite(video.duration) ? video.duration : 0);
}

function timeline() {
  const end = seconds();
  const rows = new Map();
  for (const event of state.lanes) {
    const name = `${event.task}: ${event.label}`;
    const key = `${name} ${event.modality}`;
    rows.set(key, { name, events: [...(rows.get(key)?.events || []), event] });
  }
  const found = [...rows.values()].map(({ name, events }) => {
    const track = make("div", { class: "track" });
    for (const event of events) {
      const span = make("button", { type: "button", class: `span ${event.modality}`, title: `${event.label}, ${event.start}–${event.end} s, ${event.modality}`, onclick: () => seek(event.start) });
      span.style.left = `${(100 * event.start) / end}%`;
      span.style.width = `${(100 * (event.end - event.start)) / end}%`;
      track.append(span);
    }
    const lane = make("div", { class: "lane" }, make("span", { title: name }, name), track);
    lane.events = events;
    return lane;
  });
  const grid = make("div", { class: "grid" });
  const step = Math.max(1, Math.ceil(end / 10));
  for (let at = 0; at <= end; at += step) {
    for (const tag of ["i", "b"]) {
      const mark = make(tag, {}, tag === "b" ? `${at}` : "");
      mark.style.left = `${(100 * at) / end}%`;
      grid.append(mark);
    }
  }
  grid.append(make("div", { id: "playhead" }));
  $("timeline").replaceChildren(...found, grid);
  $("timeline").hidden = !found.length;
  $("timeline").setAttribute("aria-valuemax", end.toFixed(1));
  follow();
}

function follow() {
  const at = video.currentTime || 0;
  const head = $("playhead");
  if (head) head.style.left = `${(100 * at) / seconds()}%`;
  $("timeline").setAttribute("aria-valuenow", at.toFixed(1));
  for (const lane of document.querySelectorAll(".lane"))
    lane.classList.toggle("on", lane.events.some((event) => event.start <= at && at < event.end));
  draw();
}

function seek(at) {
  video.currentTime = Math.min(at, Number.isFinite(video.duration) ? video.duration : at);
  video.pause();
  follow();
}

function keep() {
  follow();
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(keep);
}

// --- boxes on the frame

// The picture of a run-length code of COCO: runs go down the columns, the first
// is one of zeros.
function region({ size: [height, width], counts }) {
  const made = make("canvas", { width, height });
  const pen = made.getContext("2d");
  const image = pen.createImageData(width, height);
  let at = 0;
  counts.forEach((run, i) => {
    for (const end = at + run; at < end; at++)
      if (i % 2) image.data.set([184, 50, 128, 120], 4 * ((at % height) * width + Math.floor(at / height)));
  });
  pen.putImageData(image, 0, 0);
  return made;
}

function onStage() {
  const shown = video.hidden ? $("still") : video;
  return { shown, width: shown.videoWidth || shown.naturalWidth || 1, height: shown.videoHeight || shown.naturalHeight || 1 };
}

// The frame as it stands, in its own size, with what is drawn on it.
function savePicture() {
  const { shown, width, height } = onStage();
  const canvas = make("canvas", { width, height });
  canvas.getContext("2d").drawImage(shown, 0, 0, width, height);
  if ($("boxes").checked) drawOn(canvas.getContext("2d"), { width, height });
  canvas.toBlob((blob) => save(blob, "clip.png"), "image/png");
}

function draw() {
  const canvas = $("overlay");
  const area = canvas.getBoundingClientRect();
  canvas.width = area.width * devicePixelRatio;
  canvas.height = area.height * devicePixelRatio;
  const pen = canvas.getContext("2d");
  pen.scale(devicePixelRatio, devicePixelRatio);
  $("picture").hidden = !state.places.length;
  if ($("boxes").checked) drawOn(pen, area);
}

// Boxes, points and masks, where the frame lies in an area that it is fitted into.
function drawOn(pen, area) {
  const { width, height } = onStage();
  const scale = Math.min(area.width / width, area.height / height);
  const left = (area.width - width * scale) / 2;
  const top = (area.height - height * scale) / 2;
  const x = (value) => left + (value / 224) * width * scale;
  const y = (value) => top + (value / 224) * height * scale;
  const colour = getComputedStyle(document.documentElement).getPropertyValue("--said");
  const lines = new Map();
  for (const place of state.places) {
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = 3;
    // Faint where the video is not at the frame that was asked.
    pen.globalAlpha = video.hidden || Math.abs(video.currentTime - place.at) < 0.6 ? 1 : 0.4;
    if (place.mask) pen.drawImage(place.mask, left, top, width * scale, height * scale);
    if (place.box) {
      const [a, b, c, d] = place.box;
      pen.strokeRect(x(a), y(b), x(c + 1) - x(a), y(d + 1) - y(b));
      pen.font = "600 13px system-ui";
      // Names of tasks with one box stand one below the other.
      const corner = `${a},${b}`;
      const line = (lines.get(corner) || 0) + 1;
      lines.set(corner, line);
      pen.fillText(place.task, x(a) + 5, y(b) + 16 * line);
    }
    for (const [u, v] of place.points || []) {
      pen.beginPath();
      pen.arc(x(u + 0.5), y(v + 0.5), 5, 0, 7);
      pen.fill();
    }
  }
}

// --- wiring

$("file").addEventListener("change", (event) => choose(event.target.files));
$("other").addEventListener("change", (event) => compare(event.target.files[0]));
$("alone").addEventListener("click", () => compare());
$("again").addEventListener("click", forget);
$("form").addEventListener("submit", askAll);
$("retry").addEventListener("click", () => state.asked && ask(state.asked));
$("picture").addEventListener("click", savePicture);
for (const button of $("samples").querySelectorAll("button")) button.addEventListener("click", () => take(button.value));
$("boxes").addEventListener("change", draw);
$("key").addEventListener("change", loadTasks);
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("stage").classList.toggle("over", name === "dragover");
    if (name === "drop") choose(event.dataTransfer.files);
  });
}
for (const name of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(name, follow);
video.addEventListener("loadedmetadata", timeline);
video.requestVideoFrameCallback?.(keep);
$("timeline").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
  if (!step) return;
  event.preventDefault();
  seek(Math.max(0, Math.min(seconds(), video.currentTime + step)));
});
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target.closest("input, textarea, button, video, label")) return;
  event.preventDefault();
  video.paused ? video.play() : video.pause();
});
new ResizeObserver(draw).observe($("stage"));
loadTasks().catch((error) => say(`Failed: ${error.message}`, true));
