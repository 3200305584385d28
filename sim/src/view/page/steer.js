// The page around the drawing: what can be pressed, typed and clicked.

const byId = id => document.getElementById(id);
const story = readStory(DATA);
const view = makeView(story);
let colours = readColours();
let scene = null, isDrawn = true;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Draws once before the next frame, however often it is asked for.
function refresh() {
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(drawNow);
}

function drawNow() {
  isDrawn = true;
  scene = draw(byId("diagram"), view, colours);
  drawOverview();
  if (view.chosen < 0) showAround();
  byId("axis").textContent = view.isEven ? "even steps" : "true time";
}

function begin() {
  document.title = `seed ${DATA.seed}, ${DATA.scenario}: ${DATA.problem ? "failed" : "ok"}`;
  byId("title").textContent = `${DATA.scenario}, seed ${DATA.seed}`;
  const leftOut = DATA.leftOut.map(([what, count]) => `${count.toLocaleString("en")} ${what}`);
  byId("facts").textContent = `${DATA.eventCount.toLocaleString("en")} events in `
    + `${seconds(DATA.endedAt, 3)}, digest ${DATA.digest}` + (leftOut.length ? `; left out: ${leftOut.join(", ")}` : "");
  byId("command").textContent = DATA.command;
  showVerdict();
  byId("partition").append(new Option("all", -1));
  story.partitions.forEach((name, index) => byId("partition").append(new Option(name, index)));
  const apis = new Set();
  for (let i = 0; i < story.count; i++) if (story.kind[i] === story.code.Request) apis.add(story.label(i));
  byId("api").append(new Option("all", ""));
  for (const api of [...apis].sort()) byId("api").append(new Option(api, api));
  showKinds();
  byId("legend").textContent = "The colour of a broker's lane is its leader epoch, grey where it follows. Left of it the "
    + "log end (line) and the high watermark (area); numbers are high watermark/log end. Dotted: no process. Hatched: paused, "
    + "or beyond a cut. A bar with a number stands for so many messages.";
  listen();
  const pinned = pins()[0];
  if (pinned !== undefined) view.chosen = pinned;
  showDetails();
  refresh();
}

// The marks that the verdict is about; what it was first seen by comes first.
function pins() {
  const found = [];
  for (let i = 0; i < story.count; i++) if (story.kind[i] === story.code.Violation) found.push(i);
  return found.sort((a, b) => story.number(a, 0) - story.number(b, 0) || a - b);
}

function showVerdict() {
  if (!DATA.problem) return;
  const place = byId("verdict"), [first, ...rest] = DATA.problem;
  const name = first.match(/^[A-Za-z0-9-]+(?=: )/)?.[0] ?? "violated";
  place.hidden = false;
  place.append(element("b", "⚑ " + name), element("span", first.replace(name + ": ", "")));
  if (rest.length) {
    const more = element("details");
    more.append(element("summary", `and ${rest.length} more`));
    for (const each of rest) more.append(element("div", each));
    place.append(more);
  }
  const jumps = element("div");
  for (const i of pins().slice(0, 10)) {
    const words = ["seen", "found at the end", story.label(i)][story.number(i, 0)];
    const button = element("button", `${seconds(story.at[i])}: ${words}`);
    button.onclick = () => go(i);
    jumps.append(button);
  }
  place.append(jumps);
}

function showKinds() {
  const counts = story.kinds.map(() => 0);
  for (const kind of story.kind) counts[kind]++;
  story.kinds.forEach((name, code) => {
    if (counts[code] === 0 || name === "Violation") return;
    const label = element("label");
    const box = element("input", undefined, { type: "checkbox" });
    box.checked = view.shownKinds.has(code);
    box.onchange = () => {
      if (box.checked) view.shownKinds.add(code); else view.shownKinds.delete(code);
      filterChanged();
    };
    const dot = element("i");
    dot.style.setProperty("--dot", `var(--${name.toLowerCase()})`);
    label.append(box, dot, name.toLowerCase(), element("small", counts[code].toLocaleString("en")));
    byId("kinds").append(label);
  });
}

function filterChanged() {
  applyFilter(view);
  showDetails();
  refresh();
}

function go(i) {
  choose(view, i);
  showDetails();
  refresh();
}

// What is known of a mark, as pairs of words.
function facts(i) {
  const { code } = story, kind = story.kind[i], number = which => story.number(i, which);
  const name = lane => story.lanes[lane]?.name;
  const rows = [["time", seconds(story.at[i])]];
  if (story.isArrow(kind)) {
    rows.push(["way", `${name(story.lane[i])} → ${name(story.to[i])}`]);
    rows.push(["travels", story.arrived[i] ? duration(story.until[i] - story.at[i]) : "never arrived"]);
    rows.push(["connection", number(0)], ["bytes", number(2).toLocaleString("en")]);
    if (kind === code.Request || kind === code.Response) rows.push(["correlation", number(1)], ["version", number(3)]);
    if (kind >= code.Connection) rows.push(["sequence", number(1)]);
  } else if (story.lane[i] >= 0) {
    rows.push(["machine", name(story.lane[i])]);
  }
  if (kind === code.Link) rows.push(["towards", name(story.to[i])]);
  if (kind === code.Disk) rows.push(["position", number(1).toLocaleString("en")], ["bytes", number(2).toLocaleString("en")]);
  if (kind === code.Damage) rows.push(["how many", number(1)]);
  if (kind === code.Replica) {
    rows.push(["log end", number(0)], ["high watermark", number(1)], ["leader epoch", number(2)],
      ["role", number(3) ? "leader" : "follower"]);
  }
  if (kind === code.Machine && number(0) >= WALL_CLOCK) rows.push(["by", number(1) + (number(0) === DRIFT ? " ppm" : " ms")]);
  const partitions = story.about(i).map(index => story.partitions[index]);
  if (partitions.length) rows.push(["partitions", partitions.join(", ")]);
  for (const detail of story.detail(i).split("; ").filter(Boolean)) rows.push(["", detail]);
  return rows;
}

function dotOf(i) {
  const dot = element("i");
  dot.style.background = colourOf(colours, story, i);
  return dot;
}

function showDetails() {
  const place = byId("details"), i = view.chosen;
  place.replaceChildren();
  if (i < 0) {
    place.append(element("p", "Click an event, or press j and k to walk from one to the next."));
  } else {
    const title = element("strong");
    title.append(dotOf(i), story.label(i), ` (${story.kinds[story.kind[i]].toLowerCase()})`);
    const table = element("table");
    for (const [what, value] of facts(i)) {
      const row = element("tr");
      row.append(element("th", what), element("td", value));
      table.append(row);
    }
    place.append(title, table);
    const other = partner(view, i);
    if (other >= 0) {
      const word = story.kind[other] === story.code.Response ? "answered" : "asked";
      const button = element("button", `${word} at ${seconds(story.at[other])}`);
      button.onclick = () => go(other);
      place.append(button);
    }
  }
  showAround();
}

// A mark in a word or two.
function words(i) {
  const arrow = story.kind[i] === story.code.Response ? " ↩" : "";
  const numbers = story.kind[i] === story.code.Replica ? ` ${story.number(i, 1)}/${story.number(i, 0)}` : "";
  return story.label(i) + arrow + numbers;
}

function showAround() {
  const list = byId("around"), middle = chosenPlace(view);
  list.replaceChildren();
  for (let place = Math.max(0, middle - 14); place < Math.min(view.shown.length, middle + 15); place++) {
    const i = view.shown[place];
    const item = element("li");
    if (i === view.chosen) item.className = "chosen";
    const from = story.lanes[story.lane[i]]?.name ?? "", to = story.lanes[story.to[i]]?.name;
    item.append(dotOf(i), element("time", (story.at[i] / 1e6).toFixed(6)),
      element("span", [words(i), to ? `${from} → ${to}` : from].filter(Boolean).join(" · ")));
    item.onclick = () => go(i);
    list.append(item);
  }
}

// The mark nearest to a point of the drawing, or -1.
function markAt(x, y) {
  if (!scene) return -1;
  const { layout } = scene;
  let best = -1, least = 9;
  const consider = (i, distance) => { if (distance < least) { least = distance; best = i; } };
  for (const i of scene.seen) {
    const lane = layout.xs[story.lane[i]], top = layout.y(story.at[i]);
    if (story.isArrow(story.kind[i])) {
      const end = layout.xs[story.to[i]];
      if (lane === undefined || end === undefined) continue;
      const share = lane === end ? 0 : (x - lane) / (end - lane);
      if (share < -0.02 || share > (story.arrived[i] ? 1.02 : 0.5)) continue;
      const bottom = story.arrived[i] ? layout.y(story.until[i]) : top;
      consider(i, Math.abs(y - (top + (bottom - top) * share)));
    } else {
      const reach = story.kind[i] === story.code.Violation || lane === undefined ? 0 : Math.max(0, Math.abs(x - lane) - 60) / 4;
      consider(i, Math.abs(y - top) * 0.8 + reach);
    }
  }
  return best;
}

function hover(event) {
  const box = byId("diagram").getBoundingClientRect(), tip = byId("tip");
  const i = event.offsetY < HEAD ? -1 : markAt(event.offsetX, event.offsetY);
  tip.hidden = i < 0;
  if (i < 0) return;
  const way = story.isArrow(story.kind[i]) ? (story.arrived[i] ? `, ${duration(story.until[i] - story.at[i])}` : ", never arrived") : "";
  tip.textContent = `${seconds(story.at[i])}  ${story.label(i)}${way}  ${story.detail(i).slice(0, 160)}`;
  tip.style.left = Math.min(box.left + event.offsetX + 14, innerWidth - 420) + "px";
  tip.style.top = box.top + event.offsetY + 16 + "px";
}

function drawOverview() {
  const canvas = byId("overview"), { pen, width, height } = penOf(canvas);
  const end = axisEnd(view), y = place => place / end * (height - 8) + 4;
  const counts = new Float64Array(Math.ceil(height / 2) + 1);
  for (const i of view.shown) counts[Math.floor(y(toAxis(view, story.at[i])) / 2)]++;
  const most = counts.reduce((most, count) => Math.max(most, count), 1);
  pen.fillStyle = colours.soft;
  pen.globalAlpha = 0.55;
  counts.forEach((count, row) => {
    if (count > 0) pen.fillRect(2, row * 2, Math.max(1.5, Math.log(1 + count) / Math.log(1 + most) * (width - 14)), 2);
  });
  pen.globalAlpha = 1;
  const { Machine, Violation } = story.code;
  for (const i of view.shown) {
    const isBad = story.kind[i] === Machine && [2, 3, 4, PAUSED].includes(story.number(i, 0));
    if (!isBad && story.kind[i] !== Violation) continue;
    pen.fillStyle = colours.lost;
    const isPin = story.kind[i] === Violation && story.number(i, 0) < 2;
    pen.fillRect(isPin ? 0 : width - 9, y(toAxis(view, story.at[i])) - 1, isPin ? width : 9, isPin ? 3 : 2);
  }
  for (const cut of story.cuts) {
    const top = y(toAxis(view, cut.since));
    pen.fillStyle = colours.link;
    pen.globalAlpha = 0.4;
    pen.fillRect(width - 5, top, 5, Math.max(2, y(toAxis(view, cut.until)) - top));
    pen.globalAlpha = 1;
  }
  const top = y(Math.max(0, view.top)), bottom = y(Math.min(end, view.bottom));
  pen.strokeStyle = colours.select;
  pen.lineWidth = 2;
  pen.strokeRect(1, Math.max(1, top - 1), width - 2, Math.max(4, Math.min(height - 1, bottom + 1) - top));
}

function act(change) {
  change();
  refresh();
}

const KEYS = {
  j: () => { step(view, 1); showDetails(); },
  k: () => { step(view, -1); showDetails(); },
  n: () => { stepAccident(view, 1); showDetails(); },
  N: () => { stepAccident(view, -1); showDetails(); },
  v: () => { const pin = pins()[0]; if (pin !== undefined) go(pin); },
  e: () => setEven(view, !view.isEven),
  0: () => showAll(view),
  "+": () => zoomIn(2),
  "-": () => zoomIn(0.5),
  PageDown: () => move(view, 0.8),
  PageUp: () => move(view, -0.8),
  Home: () => move(view, -1e9),
  End: () => move(view, 1e9),
  Escape: () => { view.chosen = -1; showDetails(); },
  "/": () => byId("search").focus(),
};
KEYS.ArrowDown = KEYS.j;
KEYS.ArrowUp = KEYS.k;
KEYS["="] = KEYS["+"];

// Around the chosen event when it can be seen.
function zoomIn(factor) {
  const own = view.chosen < 0 ? NaN : toAxis(view, story.at[view.chosen]);
  zoom(view, factor, own > view.top && own < view.bottom ? own : undefined);
}

function listen() {
  const diagram = byId("diagram"), overview = byId("overview");
  byId("partition").onchange = event => { view.partition = Number(event.target.value); filterChanged(); };
  byId("api").onchange = event => { view.api = event.target.value; filterChanged(); };
  byId("search").oninput = event => { view.word = event.target.value.trim().toLowerCase(); filterChanged(); };
  for (const [id, key] of [["axis", "e"], ["in", "+"], ["out", "-"], ["all", "0"], ["next", "j"], ["previous", "k"], ["accident", "n"]]) {
    byId(id).onclick = () => act(KEYS[key]);
  }
  addEventListener("keydown", event => {
    if (event.target.matches("input, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const does = KEYS[event.key];
    if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(does);
  });
  diagram.addEventListener("wheel", event => {
    event.preventDefault();
    const amount = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    act(() => event.ctrlKey || event.metaKey
      ? zoom(view, 1.0018 ** -amount, scene.layout.placeOf(event.offsetY))
      : move(view, amount / diagram.clientHeight));
  }, { passive: false });
  let drag = null;
  diagram.onpointerdown = event => {
    drag = { y: event.offsetY, isMoved: false };
    diagram.setPointerCapture(event.pointerId);
  };
  diagram.onpointermove = event => {
    if (!drag) return hover(event);
    const by = drag.y - event.offsetY;
    if (!drag.isMoved && Math.abs(by) < 4) return;
    drag = { y: event.offsetY, isMoved: true };
    act(() => move(view, by / (diagram.clientHeight - HEAD)));
  };
  diagram.onpointerup = event => {
    if (drag && !drag.isMoved) act(() => { choose(view, markAt(event.offsetX, event.offsetY), false); showDetails(); });
    drag = null;
  };
  diagram.onpointerleave = () => { byId("tip").hidden = true; };
  diagram.ondblclick = event => act(() => zoom(view, 5, scene.layout.placeOf(event.offsetY)));
  const jump = event => {
    if (event.buttons === 0) return;
    const place = (event.offsetY - 4) / (overview.clientHeight - 8) * axisEnd(view);
    act(() => centreOn(view, fromAxis(view, place), view.bottom - view.top));
  };
  overview.onpointerdown = jump;
  overview.onpointermove = jump;
  // At once: a picture of the old size would be shown stretched.
  new ResizeObserver(drawNow).observe(diagram);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours = readColours(); showDetails(); refresh(); });
}

begin();
