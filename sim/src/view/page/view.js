// What of it is looked at: the filter, the axis, the piece of it that is on the screen, and the event that is chosen.

const HIDDEN_AT_FIRST = ["Packet", "Disk", "Connection"];

function makeView(story) {
  const view = {
    story,
    shownKinds: new Set(story.kinds.map((_, code) => code).filter(code => !HIDDEN_AT_FIRST.includes(story.kinds[code]))),
    partition: -1, api: "", word: "",
    isEven: false,
    shown: new Int32Array(0), // marks that pass the filter, by time
    long: [],                 // those of them that are on their way for long
    points: new Float64Array(0), // for the even axis: when something begins or arrives
    top: 0, bottom: 1,        // on the axis
    chosen: -1,
  };
  applyFilter(view);
  showAll(view);
  return view;
}

function passes(view, i) {
  const { story } = view;
  const kind = story.kind[i], { Machine, Link, Violation, Note, Damage, Request, Response } = story.code;
  if (!view.shownKinds.has(kind)) return false;
  if (view.word && !(story.label(i) + " " + story.detail(i)).toLowerCase().includes(view.word)) return false;
  if (view.api && (kind === Request || kind === Response) && story.label(i) !== view.api) return false;
  const isAlwaysAbout = kind === Machine || kind === Link || kind === Violation || kind === Note || kind === Damage;
  return view.partition < 0 || isAlwaysAbout || kind === story.code.Lost || story.about(i).includes(view.partition);
}

function applyFilter(view) {
  const { story } = view;
  const middle = fromAxis(view, (view.top + view.bottom) / 2);
  const shown = [];
  view.long = [];
  for (let i = 0; i < story.count; i++) {
    if (!passes(view, i)) continue;
    shown.push(i);
    if (story.until[i] - story.at[i] > LONG) view.long.push(i);
  }
  view.shown = Int32Array.from(shown);
  const points = [0];
  for (const i of shown) {
    points.push(story.at[i]);
    if (story.until[i] > story.at[i]) points.push(story.until[i]);
  }
  points.push(story.endedAt);
  const sorted = Float64Array.from(points).sort();
  view.points = sorted.filter((point, index) => index === 0 || point > sorted[index - 1]);
  if (view.isEven) centreOn(view, middle, view.bottom - view.top);
}

// Longer ways than this are looked for one by one.
const LONG = 500_000;

function toAxis(view, time) {
  if (!view.isEven) return time;
  const { points } = view;
  let low = 0, high = points.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle] <= time) low = middle + 1; else high = middle;
  }
  const index = Math.max(0, low - 1);
  if (index + 1 >= points.length) return points.length - 1;
  return index + (time - points[index]) / (points[index + 1] - points[index]);
}

function fromAxis(view, place) {
  if (!view.isEven) return place;
  const { points } = view;
  if (points.length === 0) return 0;
  const index = Math.max(0, Math.min(points.length - 1, Math.floor(place)));
  if (index + 1 >= points.length) return points[points.length - 1];
  return points[index] + (place - index) * (points[index + 1] - points[index]);
}

function axisEnd(view) {
  return view.isEven ? Math.max(1, view.points.length - 1) : Math.max(1, view.story.endedAt);
}

function showAll(view) {
  const end = axisEnd(view);
  view.top = -end * 0.01;
  view.bottom = end * 1.02;
}

function clampView(view) {
  const end = axisEnd(view), least = view.isEven ? 4 : 20;
  let span = Math.max(least, Math.min(end * 1.03, view.bottom - view.top));
  let top = Math.max(-span * 0.1, Math.min(end - span * 0.9, view.top));
  if (span >= end * 1.03) top = -end * 0.01;
  view.top = top;
  view.bottom = top + span;
}

function centreOn(view, time, span) {
  const place = toAxis(view, time);
  view.top = place - span / 2;
  view.bottom = place + span / 2;
  clampView(view);
}

function zoom(view, factor, place = (view.top + view.bottom) / 2) {
  view.top = place - (place - view.top) / factor;
  view.bottom = place + (view.bottom - place) / factor;
  clampView(view);
}

function move(view, screens) {
  const by = (view.bottom - view.top) * screens;
  view.top += by;
  view.bottom += by;
  clampView(view);
}

function setEven(view, isEven) {
  const time = view.chosen >= 0 ? view.story.at[view.chosen] : fromAxis(view, (view.top + view.bottom) / 2);
  const from = fromAxis(view, view.top), until = fromAxis(view, view.bottom);
  const isAll = view.bottom - view.top >= axisEnd(view);
  view.isEven = isEven;
  if (isAll) return showAll(view);
  centreOn(view, time, Math.max(isEven ? 20 : 100, toAxis(view, until) - toAxis(view, from)));
}

// The place in `shown` of the first mark that is not before `time`.
function firstShown(view, time) {
  const { shown, story } = view;
  let low = 0, high = shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (story.at[shown[middle]] < time) low = middle + 1; else high = middle;
  }
  return low;
}

// Marks any part of which is on the screen.
function visibleMarks(view) {
  const { story, shown } = view;
  const from = fromAxis(view, view.top), until = fromAxis(view, view.bottom);
  const seen = view.long.filter(i => story.at[i] < from - LONG && story.until[i] >= from);
  for (let place = firstShown(view, from - LONG); place < shown.length; place++) {
    const i = shown[place];
    if (story.at[i] > until) break;
    if (story.until[i] >= from) seen.push(i);
  }
  return seen;
}

// Where in `shown` the chosen mark is, or would be.
function chosenPlace(view) {
  let place = firstShown(view, view.chosen < 0 ? fromAxis(view, view.top) : view.story.at[view.chosen]);
  while (place < view.shown.length && view.shown[place] < view.chosen) place++;
  return place;
}

// Chooses a mark and sees to it that it can be seen among its neighbours.
function choose(view, i, isMoving = true) {
  view.chosen = i;
  if (i < 0 || !isMoving) return;
  const { story, shown } = view;
  const place = chosenPlace(view);
  const span = view.bottom - view.top, own = toAxis(view, story.at[i]);
  const near = step => Math.abs(toAxis(view, story.at[shown[place + step]] ?? Infinity) - own) || Infinity;
  if (visibleMarks(view).length > 150) {
    // The denser side says how close to go, and the way of the mark itself should not be much longer than the screen.
    const around = 3 * Math.min(near(8), near(-8), axisEnd(view));
    centreOn(view, story.at[i], Math.max(around, (toAxis(view, story.until[i]) - own) / 2, view.isEven ? 16 : 500));
  } else if (own < view.top + span * 0.08 || own > view.bottom - span * 0.12) {
    centreOn(view, story.at[i], span);
  }
}

function step(view, by) {
  if (view.shown.length === 0) return;
  let place = chosenPlace(view);
  if (view.chosen >= 0 && view.shown[place] === view.chosen) place += by;
  else if (by < 0) place--;
  choose(view, view.shown[Math.max(0, Math.min(view.shown.length - 1, place))]);
}

// The next (or previous) thing that was done to the world.
function stepAccident(view, by) {
  const { story } = view;
  const isAccident = i => story.kind[i] === story.code.Violation
    || (story.kind[i] === story.code.Link && story.number(i, 0) === 1)
    || (story.kind[i] === story.code.Machine && ACCIDENTS.includes(story.number(i, 0)));
  const isAfter = i => by > 0 ? i > view.chosen : i < (view.chosen < 0 ? story.count : view.chosen);
  const places = by > 0 ? view.shown : Array.from(view.shown).reverse();
  const found = places.find(i => isAfter(i) && isAccident(i));
  if (found !== undefined) choose(view, found);
}

// The request of a response, the response to a request, or -1.
function partner(view, i) {
  const { story } = view, { Request, Response } = story.code;
  const kind = story.kind[i];
  if (kind !== Request && kind !== Response) return -1;
  const by = kind === Request ? 1 : -1, wanted = kind === Request ? Response : Request;
  for (let j = i + by; j >= 0 && j < story.count; j += by) {
    if (story.kind[j] === wanted && story.number(j, 1) === story.number(i, 1) && story.number(j, 0) === story.number(i, 0)) {
      return j;
    }
  }
  return -1;
}
